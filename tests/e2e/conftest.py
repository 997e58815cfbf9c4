"""The program itself, in a terminal of its own, with a real model of random weights."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyte
import pytest
from pseudo_terminal import Terminal

from kobold_tui.domain.chat import ChatMessage
from kobold_tui.storage.conversations import ConversationStore
from kobold_tui.storage.paths import Paths

_STRINGS = re.compile(rb"\x1b[P_X^\]][^\x1b\x07]*(?:\x1b\\|\x07)")
_PRIVATE = re.compile(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z$]+")
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-9;<>=?$]*)?\Z")


class Program:
    """The running program: what its screen shows, its keys, its processes."""

    def __init__(self, arguments: tuple[str, ...], home: Path) -> None:
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "KOBOLD_TUI_HOME": str(home),
            "HF_HOME": str(home / "no-hub"),
        }
        for name in ("TMUX", "SSH_CONNECTION", "SSH_TTY"):
            environment.pop(name, None)
        self.home = home
        self.terminal = Terminal([sys.executable, "-m", "kobold_tui", *arguments], environment)
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self._fed = 0

    @property
    def screen(self) -> str:
        """The screen as text, line by line."""
        output = self.terminal.output
        unfinished = _UNFINISHED.search(output)
        end = unfinished.start() if unfinished else len(output)
        self._stream.feed(_PRIVATE.sub(b"", _STRINGS.sub(b"", output[self._fed : end])))
        self._fed = max(self._fed, end)
        return "\n".join(self._screen.display)

    def until_screen(self, pattern: str) -> None:
        """Wait until the screen shows something."""
        self.terminal.until(lambda: re.search(pattern, self.screen))

    def press(self, keys: bytes) -> None:
        """Send keys."""
        self.terminal.type(keys)

    def workers(self) -> list[psutil.Process]:
        """Return the processes that hold a model."""
        return [each for each in self._family() if "kobold_tui.engine.worker" in each.cmdline()]

    def interface(self) -> psutil.Process:
        """Return the process that draws: the child of the supervisor."""
        return psutil.Process(self.terminal.process.pid).children()[0]

    def stored(self) -> list[ChatMessage]:
        """Return the messages of all conversations in the store."""
        with ConversationStore(Paths.below(self.home).database) as store:
            heads = [each.head_id for each in store.conversations() if each.head_id is not None]
            return [message for head in heads for message in store.path_to(head)]

    def _family(self) -> Iterator[psutil.Process]:
        for process in psutil.Process(self.terminal.process.pid).children(recursive=True):
            try:
                process.cmdline()
            except psutil.Error:
                continue
            yield process


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path, tiny_llama: Path) -> Iterator[Start]:
    """Start programs that know one tiny model; all end with the test."""
    programs: list[Program] = []

    def run(*arguments: str) -> Program:
        program = Program(("--models-dir", str(tiny_llama.parent), *arguments), tmp_path / "home")
        programs.append(program)
        return program

    yield run
    for program in programs:
        program.terminal.close()


@pytest.fixture
def chatting(start: Start, tiny_llama: Path) -> Program:
    """Return a program whose model is loaded and whose prompt has the keys."""
    program = start("--model", str(tiny_llama), "--load")
    program.until_screen(r"● .*ready")
    program.press(b"\x1bOS")
    program.until_screen(r"Message ")
    return program
