"""A command line over a backend of fakes for every test."""

from __future__ import annotations

import pytest
from command_line import CommandLine


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Return a command line whose world holds nothing yet."""
    monkeypatch.delenv("KOBOLD_TUI_DEBUG", raising=False)
    return CommandLine(monkeypatch, capsys)
