"""`models search` and `models get`: data on standard output, progress apart, ctrl+c loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_hub import GIB, item
from hub_bench import CONTENT, REPO, Bench
from program import ROOT, Program

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.hub import HubFile, HubItem, HubRepo


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A command line over a hub with two repositories."""
    monkeypatch.delenv("KOBOLD_TUI_DEBUG", raising=False)
    line = CommandLine(monkeypatch, capsys)
    projector = HubItem(
        name="mmproj-F16", kind="projector", files=(HubFile(path="mmproj-F16.gguf", size_bytes=9),)
    )
    many = HubRepo(id="a/tiny-many", downloads=1_200_000, likes=321, licence="mit", gate="auto")
    line.world.hub.add(many, item("Q4_K_M", 5 * GIB), item("Q8_0", 90 * GIB, parts=3), projector)
    line.world.hub.add(HubRepo(id="a/tiny-one"), item("Q8_0", 1000))
    line.world.hub.finish_at_once = True
    return line


def test_search_lists_repositories(command_line: CommandLine) -> None:
    done = command_line.run("models", "search", "tiny", "many")
    assert done.status == 0
    assert done.out.splitlines()[1].split() == ["a/tiny-many", "1.2M", "321", "mit", "on", "request"]
    assert command_line.world.hub.searched == ["tiny many"]


def test_search_in_json_is_one_document(command_line: CommandLine) -> None:
    found = command_line.run("models", "search", "tiny", "--json").json["repositories"]
    assert [repo["id"] for repo in found] == ["a/tiny-many", "a/tiny-one"]
    assert found[0]["gate"] == "auto"


def test_search_without_a_result_says_so(command_line: CommandLine) -> None:
    done = command_line.run("models", "search", "nothing-like-this")
    assert (done.status, done.out) == (0, "")
    assert "No repository" in done.err


@pytest.mark.parametrize("limit", ["0", "101", "x"])
def test_search_checks_its_limit(command_line: CommandLine, limit: str) -> None:
    assert command_line.run("models", "search", "x", "--limit", limit).status == 2


def test_the_only_model_is_downloaded_and_its_path_printed(command_line: CommandLine) -> None:
    done = command_line.run("models", "get", "a/tiny-one")
    assert (done.status, done.out) == (0, "/models/a/tiny-one/tiny-Q8_0.gguf\n")
    assert "100%" in done.err


def test_a_quantization_is_chosen_by_its_name(command_line: CommandLine, tmp_path: Path) -> None:
    done = command_line.run("models", "get", "a/tiny-many", "q8_0", "--to", str(tmp_path), "--json")
    assert done.json == {
        "path": f"{tmp_path}/tiny-Q8_0-00001-of-00003.gguf",
        "paths": [f"{tmp_path}/tiny-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)],
        "repo": "a/tiny-many",
        "revision": "abc123",
        "size_bytes": 90 * GIB,
    }


def test_the_quantization_can_stand_in_the_reference(command_line: CommandLine) -> None:
    done = command_line.run("models", "get", "hf.co/a/tiny-many:Q4_K_M")
    assert done.out == "/models/a/tiny-many/tiny-Q4_K_M.gguf\n"
    assert "mmproj-F16.gguf" in done.err


def test_several_models_are_listed_with_sizes_and_fit_and_none_is_taken(command_line: CommandLine) -> None:
    done = command_line.run("models", "get", "a/tiny-many")
    assert (done.status, done.out) == (2, "")
    rows = [" ".join(line.split()) for line in done.err.splitlines()]
    assert "Q4_K_M 5.00 GiB on the CPU tiny-Q4_K_M" in rows
    assert "Q8_0 90.0 GiB too large tiny-Q8_0 (3 files)" in rows
    assert "Which file?: a/tiny-many has 2 models." in rows
    assert not command_line.world.hub.begun


def test_several_models_in_json_are_an_error_that_lists_them(command_line: CommandLine) -> None:
    done = command_line.run("models", "get", "a/tiny-many", "--json")
    assert done.status == 2
    assert "Q4_K_M (5.00 GiB), Q8_0 (90.0 GiB)" in done.json["error"]["hint"]


def test_wrong_names_are_wrong_usage_and_troubles_are_failures(command_line: CommandLine) -> None:
    assert command_line.run("models", "get", "nonsense").status == 2
    assert command_line.run("models", "get", "a/tiny-many", "Q9").status == 2
    assert command_line.run("models", "get", "no/such").status == 1
    command_line.world.hub.trouble = KoboldError("No connection", "The hub cannot be reached.", "Check it.")
    done = command_line.run("models", "search", "x", "--json")
    assert done.status == 1
    assert done.json["error"]["title"] == "No connection"


def test_the_program_downloads_and_lists_what_it_downloaded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", bench.server.endpoint)
    done = Program(tmp_path / "home")("models", "get", REPO)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.removesuffix("\n"))
    assert path == tmp_path / "home/data/models" / REPO / "tiny-Q4_K_M.gguf"
    assert path.read_bytes() == CONTENT
    assert done.stderr.count("\n") <= 14


def test_ctrl_c_keeps_the_part_and_the_same_command_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", bench.server.endpoint)
    monkeypatch.setenv("KOBOLD_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "kobold_tui", "models", "get", REPO, "--to", str(bench.folder), "--json"]
    bench.server.faults.stall_after = 100_000
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "tiny-Q4_K_M" in process.stderr.readline()
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from there" in told
    kept = bench.parts[0].stat().st_size
    bench.server.faults.stall_after = None
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["path"] == str(bench.target)
    assert bench.server.spans[-1].startswith(f"bytes={kept}-")
    assert bench.target.read_bytes() == CONTENT
