"""A running command shows that it lives, also where lines cannot be redrawn."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tools.installer import progress
from tools.installer.commands import Command
from tools.installer.progress import Progress, clock, readable

TALK = "import time; print('[12/170] Building CXX object ggml/src/ggml.c.o', flush=True); time.sleep(0.5)"


def test_in_a_log_plain_lines_come_at_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_SECONDS", 0.2)
    out = io.StringIO()
    code, output = Progress(out, tmp_path / "log", {}).run(Command((sys.executable, "-c", TALK), {}))
    assert code == 0
    assert output.startswith("[12/170] Building")
    assert "0:00  12 of 170 compiled  ggml.c\n" in out.getvalue()
    assert "\r" not in out.getvalue()


def test_a_quick_command_says_nothing(tmp_path: Path) -> None:
    out = io.StringIO()
    assert Progress(out, tmp_path / "log", {}).run(Command((sys.executable, "-c", "print(1)"), {})) == (
        0,
        "1\n",
    )
    assert out.getvalue() == ""


def test_a_program_that_is_not_there_is_a_failure_in_words(tmp_path: Path) -> None:
    code, output = Progress(io.StringIO(), tmp_path / "log", {}).run(Command(("no-such-program",), {}))
    assert code == 127
    assert "no-such-program" in output


def test_a_command_sees_what_it_needs_in_its_environment(tmp_path: Path) -> None:
    show = Command(
        (sys.executable, "-c", "import os; print(os.environ['CMAKE_ARGS'])"), {"CMAKE_ARGS": "-DX=on"}
    )
    assert Progress(io.StringIO(), tmp_path / "log", {}).run(show) == (0, "-DX=on\n")


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00"), (59.9, "0:59"), (3661.0, "61:01")])
def test_durations_are_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_control_characters_of_a_compiler_never_reach_the_terminal() -> None:
    assert readable("\x1b[31merror\x1b[0m:\t\x07bad") == "error:bad"
