"""The folder `.venv`: whether it can be used as it is, and clearing it away when it cannot.

An environment that works is kept, whichever Python it has: building its engine took minutes. Only a folder
that is an environment, or that the set-up began to make one of, is ever deleted.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from tools.installer.errors import SetupError
from tools.installer.state import State

MINIMUM = (3, 11)


def defect(venv: Path, *, this_python: bool) -> str | None:
    """Return why the environment must be made anew, as a sentence; None when it can stay.

    `this_python` asks for the Python version of the running interpreter.
    """
    if State(venv).was_interrupted("venv") or not (venv / "pyvenv.cfg").exists():
        return "its creation was interrupted."
    if not os.access(venv / "bin" / "python", os.X_OK):
        return "its Python is gone."
    version = venv_version(venv)
    if version < MINIMUM:
        return f"its Python {version[0]}.{version[1]} is too old."
    if this_python and version != sys.version_info[:2]:
        return f"it has Python {version[0]}.{version[1]}."
    return None


def venv_version(venv: Path) -> tuple[int, int]:
    """Return the Python version of an environment, as its configuration file has it."""
    text = (venv / "pyvenv.cfg").read_text("utf-8", "replace")
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def clear_away(venv: Path) -> None:
    """Delete an environment that cannot be used; refuses what is not one."""
    is_environment = (venv / "pyvenv.cfg").exists() or State(venv).exists
    if venv.is_symlink() or (not is_environment and any(venv.iterdir())):
        raise SetupError(
            f"{venv} is there, but it is not a virtual environment.", "Move it away, then start again."
        )
    shutil.rmtree(venv)


def has_distribution(venv: Path, name: str, version: str) -> bool:
    """Whether a distribution is installed, wholly, in this version."""
    folder = f"{name.replace('-', '_')}-{version}.dist-info/RECORD"
    return any(venv.glob(f"lib/python3*/site-packages/{folder}"))


def has_pip(venv: Path) -> bool:
    """Whether the environment has pip; those that `uv` makes have none."""
    return any(venv.glob("lib/python3*/site-packages/pip/__main__.py"))
