"""Whatever goes wrong becomes a sentence and an exit status; help and version stay cheap."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_world import World, model

from kobold_tui import __main__ as program
from kobold_tui import __version__
from kobold_tui.cli import main as cli
from kobold_tui.cli.frame import guarded
from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.services.options import StartOptions

ROOT = Path(__file__).parents[2]


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


def python(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KOBOLD_TUI_HOME": str(home)}
    environment.pop("KOBOLD_TUI_DEBUG", None)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KoboldError("Title", "Message.", "Hint."), 1),
        (UsageError("Title", "Message.", "Hint."), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_have_their_exit_status(error: BaseException, status: int) -> None:
    assert guarded(raising(error)) == status


def test_an_error_is_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(KoboldError("Title", "Message.", "Hint.")))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "Title: Message.\nHint.\n")


def test_in_json_mode_an_error_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(KoboldError("Title", "Message.", "Hint.")), as_json=True)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"error": {"title": "Title", "message": "Message.", "hint": "Hint."}}
    assert captured.err == ""


def test_a_bug_becomes_one_line_and_its_traceback_a_private_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KOBOLD_TUI_HOME", str(tmp_path))
    monkeypatch.delenv("KOBOLD_TUI_DEBUG", raising=False)
    assert guarded(raising(ZeroDivisionError("by zero"))) == 1
    log = tmp_path / "log" / "command-line.log"
    told = capsys.readouterr().err
    assert told == f"Internal error: ZeroDivisionError: by zero\nThe details are in {log}.\n"
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_traceback_is_there_for_who_asks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOBOLD_TUI_DEBUG", "1")
    guarded(raising(UsageError("Title", "Message.")))
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_left_ends_the_program_quietly(tmp_path: Path, lines: int) -> None:
    code = (
        "import sys; from kobold_tui.cli.frame import guarded\n"
        f"sys.exit(guarded(lambda: print('line\\n' * {lines}) or 0))"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as nobody:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "KOBOLD_TUI_HOME": str(tmp_path)}
        environment.pop("PYTHONUNBUFFERED", None)
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, stdout=nobody, stderr=subprocess.PIPE, env=environment, check=False, text=True
        )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("argument", ["--help", "--version", "models --help", "chat --help", "doctor --help"])
def test_help_and_version_load_nothing_heavy(argument: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom kobold_tui.__main__ import main\n"
        f"try: main({argument.split()!r})\nexcept SystemExit: pass\n"
        "heavy = {'textual', 'llama_cpp', 'numpy', 'asyncio', 'sqlite3', 'jinja2'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = python(code, tmp_path)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_version_is_the_package_version(tmp_path: Path) -> None:
    code = "import sys; from kobold_tui.__main__ import main; sys.exit(main(['--version']))"
    assert python(code, tmp_path).stdout == f"kobold-tui {__version__}\n"


def test_help_lists_every_command_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parse(["--help"])
    told = capsys.readouterr().out
    listed = told.split("commands:\n")[1].split("\n\n")[0].splitlines()
    assert [line.split(maxsplit=1) for line in listed] == [
        [name, command.SUMMARY] for name, command in cli.find_commands().items()
    ]
    assert {"chat", "doctor", "models"} <= cli.find_commands().keys()


def test_a_misspelt_command_is_recognised(command_line: CommandLine) -> None:
    with pytest.raises(UsageError, match="'modles'") as caught:
        cli.parse(["modles"])
    assert "kobold-tui models" in caught.value.hint


def test_options_of_the_workbench_reach_it() -> None:
    argv = [
        "--preset",
        "p",
        "--model",
        "m",
        "--load",
        "--theme",
        "t",
        "--models-dir",
        "a",
        "--models-dir",
        "b",
    ]
    options = cli.start_options(cli.parse([*argv, "--presets-dir", "c"]))
    assert options == StartOptions(
        preset="p", model="m", load=True, theme="t", models_dirs=("a", "b"), presets_dirs=("c",)
    )


@pytest.mark.parametrize("argv", [["--models-dir", "a", "models"], ["models", "--models-dir", "a"]])
def test_places_may_stand_on_either_side_of_the_command(command_line: CommandLine, argv: list[str]) -> None:
    command_line.run(*argv)
    assert command_line.options.models_dirs == ("a",)


def test_the_prompt_of_the_workbench_is_one_for_chat(command_line: CommandLine) -> None:
    arguments = cli.as_chat(cli.parse(["--model", "tiny", "--models-dir", "a", "-p", "-dash first"]))
    assert (arguments.command, arguments.reference, arguments.prompt) == ("chat", "tiny", "-dash first")
    assert arguments.models_dirs == ["a"]


@pytest.mark.parametrize("argv", [["-p", "x"], ["--cli"], []])
def test_without_a_terminal_or_when_asked_the_workbench_stays_closed(
    argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: bool(argv), raising=False)

    def run(arguments: argparse.Namespace, _open: cli.OpenServices) -> int:
        started.append(arguments.command)
        return 0

    monkeypatch.setattr(cli, "run", run)
    assert program.main(argv) == 0
    assert started == ["chat"]


def test_the_worker_option_starts_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []

    def run_worker(argv: list[str]) -> int:
        given.extend(argv)
        return 4

    worker = types.ModuleType(program.WORKER_MODULE)
    monkeypatch.setattr(worker, "main", run_worker, raising=False)
    monkeypatch.setitem(sys.modules, program.WORKER_MODULE, worker)
    assert program.main([program.WORKER_OPTION, "7", "--scripted", "{}"]) == 4
    assert given == ["7", "--scripted", "{}"]


def test_a_model_list_needs_no_conversation_store(command_line: CommandLine) -> None:
    command_line.world = World([model("tiny")])
    command_line.run("models")
    assert command_line.private is True
