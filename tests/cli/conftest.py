"""A command line over a backend of fakes, and the whole program in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine
from program import Program


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return a command line whose world holds nothing yet."""
    monkeypatch.delenv("KOBOLD_TUI_DEBUG", raising=False)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return how to run the program in a home of its own."""
    return Program(tmp_path / "home")
