"""Output that goes nowhere, or holds what its form cannot tell, costs a sentence and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kobold_tui.cli.output import print_json, printable
from kobold_tui.domain.model import ModelFault

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")


def shell(words: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `kobold-tui` with the redirections of a shell line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KOBOLD_TUI_HOME": str(home), **more}
    environment.pop("KOBOLD_TUI_DEBUG", None)
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m kobold_tui {words}"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["presets list", "presets list --json", "presets show nothing --json"])
def test_a_full_disk_is_told_in_one_line(tmp_path: Path, words: str, unbuffered: str) -> None:
    done = shell(f"{words} >{FULL}", tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "Not everything could be written: No space left on device.\n"


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_program_without_standard_streams_does_its_work(tmp_path: Path, closed: str) -> None:
    done = shell(f"presets list --json {closed}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_name_that_is_not_utf8_stands_in_json_with_a_mark(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"bad\xff.gguf")
    fault = ModelFault(path=name, reason="It is broken.")
    print_json({"failed": (fault,), "count": 1})
    (told,) = json.loads(capsys.readouterr().out)["failed"]
    assert told == {**msgspec.to_builtins(fault), "path": "bad\ufffd.gguf"}
    assert printable(name) == "bad\ufffd.gguf"
