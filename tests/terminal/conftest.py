"""Terminals for tests, closed when the test is over, and the stand-in interface to run in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pseudo_terminal import Terminal

ROOT = Path(__file__).parents[2]


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Return how to run a command in a terminal; all of them are closed at the end."""
    terminals: list[Terminal] = []

    def open_(*command: str, **environment: str) -> Terminal:
        base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm-256color", "PS1": "$ "}
        terminals.append(Terminal(command, {**base, "PYTHONPATH": str(ROOT), **environment}))
        return terminals[-1]

    yield open_
    for terminal in terminals:
        terminal.close()


@pytest.fixture
def stand_in() -> list[str]:
    """Return the command that runs the stand-in interface; its behaviour follows as an argument."""
    return [sys.executable, str(Path(__file__).with_name("stand_in.py"))]


@pytest.fixture
def is_gone() -> Callable[[int], bool]:
    """Return whether no live process has that number."""

    def gone(pid: int) -> bool:
        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    return gone
