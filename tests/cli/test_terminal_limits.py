"""Help fits the smallest screen, and a terminal that cannot draw is sent nothing but text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout

import pytest

from kobold_tui.cli import main as cli
from kobold_tui.cli.output import StatusLine, narrate
from kobold_tui.cli.redraw import Block

COLUMNS = 80
COMMANDS = ("bench", "chat", "doctor", "fit", "gpus", "models", "presets")
VERBS = {
    "models": ("list", "show", "search", "get"),
    "presets": ("list", "show", "validate", "import", "export"),
}


class Terminal(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A colourful terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def all_help() -> Iterator[list[str]]:
    yield ["--help"]
    for command in COMMANDS:
        yield [command, "--help"]
        yield from ([command, verb, "--help"] for verb in VERBS.get(command, ()))


def test_all_help_fits_eighty_columns_and_is_said_in_the_same_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    for argv in all_help():
        with pytest.raises(SystemExit):
            cli.parse(argv)
        told = capsys.readouterr().out
        assert [line for line in told.splitlines() if len(line) > COLUMNS] == [], argv
        assert "show this help\n" in told, argv


def test_a_dumb_terminal_is_sent_no_escape_codes(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stdout(terminal), redirect_stderr(terminal):
        status = StatusLine()
        status.show("working")
        status.clear()
        Block().draw(["one", "two"])
        narrate("three", quiet=True)
    assert terminal.getvalue() == "one\ntwo\nthree\n"


def test_no_color_takes_the_colours_and_leaves_the_drawing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redirect_stderr(terminal):
        narrate("quiet", quiet=True)
        monkeypatch.setenv("NO_COLOR", "1")
        narrate("quiet", quiet=True)
        StatusLine().show("working")
    assert terminal.getvalue() == "\x1b[2mquiet\x1b[0m\nquiet\n\r\x1b[Kworking"
