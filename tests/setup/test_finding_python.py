"""The Makefile finds a Python that is new enough, and says in words when there is none."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASK_AS_36 = (
    "import runpy, sys; sys.version_info = (3, 6, 15); sys.argv = ['setup.py', 'run']; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def fake_python(folder: Path, name: str, code: int) -> str:
    """A program that answers the question for its version with `code`, and runs everything else."""
    path = folder / name
    path.write_text(f'#!/bin/sh\ncase "$2" in *version_info*) exit {code};; esac\n')
    path.chmod(0o755)
    return str(path)


def find(*candidates: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "tools" / "find_python.sh"
    return subprocess.run(["sh", str(script), *candidates], capture_output=True, text=True, check=False)


def test_the_first_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    old, new = fake_python(tmp_path, "old", 1), fake_python(tmp_path, "new", 0)
    assert find("no-such-python", old, new).stdout.strip() == new


def test_an_old_one_is_handed_on_so_that_it_can_say_so(tmp_path: Path) -> None:
    old = fake_python(tmp_path, "old", 1)
    assert find("no-such-python", old).stdout.strip() == old


def test_without_any_the_message_says_what_to_install() -> None:
    found = find("no-such-python")
    assert found.returncode == 1
    assert "kobold-tui needs Python 3.11 or newer, and none was found" in found.stderr
    assert "sudo apt install python3 python3-venv" in found.stderr


def test_the_first_file_of_the_set_up_parses_on_python_3_6() -> None:
    ast.parse((ROOT / "tools" / "setup.py").read_text(), feature_version=(3, 6))


def test_an_old_python_says_that_it_is_too_old() -> None:
    command = [sys.executable, "-c", ASK_AS_36.replace("sys.argv[0]", repr(str(ROOT / "tools" / "setup.py")))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python too old" in done.stdout
    assert "is Python 3.6; kobold-tui needs 3.11 or newer." in done.stdout
    assert done.stderr == ""


def test_make_takes_the_python_that_is_named() -> None:
    done = subprocess.run(
        ["make", "-n", "run", "PYTHON=/opt/python3", "CUDA=0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tools/find_python.sh /opt/python3)" in done.stdout
    assert '--this-python --cuda "0" run' in done.stdout
