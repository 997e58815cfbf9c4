"""ctrl+c on a real terminal: stops a load or an answer, and leaves at the prompt."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

from kobold_tui.cli.replies import on_interrupt

ROOT = Path(__file__).parents[2]

Talk = Callable[..., Terminal]


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    """Return how to run `chat` with arguments in a terminal of its own."""
    opened: list[Terminal] = []

    def open_(*arguments: str) -> Terminal:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TERM": "xterm-256color",
            "PYTHONPATH": f"{ROOT}:{ROOT}/tests/support",
        }
        script = str(Path(__file__).with_name("talk.py"))
        opened.append(Terminal([sys.executable, script, *arguments], environment))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


def test_ctrl_c_stops_an_answer_and_the_conversation_goes_on(talk: Talk) -> None:
    terminal = talk("chat")
    terminal.until_shown(rb"> ")
    for turn in (1, 2):
        terminal.type(b"hello\r")
        terminal.until_shown(rb"one two", times=turn)
        terminal.type(b"\x03")
        terminal.until_shown(rb"stopped", times=turn)
    terminal.until_shown(rb"> $")
    terminal.type(b"\x04")
    assert terminal.until_exit() == 0
    assert b"\x1b[2mtiny is ready" in terminal.output


def test_ctrl_c_at_the_prompt_leaves(talk: Talk) -> None:
    terminal = talk("chat")
    terminal.until_shown(rb"> ")
    terminal.until_asleep()
    terminal.type(b"\x03")
    assert terminal.until_exit() == 130
    assert terminal.settings == terminal.settings_before
    assert b"Traceback" not in terminal.output


def test_ctrl_c_ends_a_single_answer_with_what_has_arrived(talk: Talk) -> None:
    terminal = talk("chat", "-p", "hello")
    terminal.until_shown(rb"one two")
    terminal.type(b"\x03")
    assert terminal.until_exit() == 130
    assert b"Traceback" not in terminal.output


def test_ctrl_c_cancels_a_load(talk: Talk) -> None:
    terminal = talk("chat", "-p", "hello", "--hold-load")
    terminal.until_shown(rb"Loading tiny: weights 33% ")
    terminal.type(b"\x03")
    assert terminal.until_exit() == 130
    assert terminal.output.endswith(b"\r\x1b[K")


def test_progress_leaves_no_trace_above_the_answer(talk: Talk) -> None:
    terminal = talk("chat", "-p", "hello")
    terminal.until_shown(rb"\r\x1b\[Kone two")


async def test_a_second_ctrl_c_during_an_answer_ends_the_program() -> None:
    pressed: list[str] = []
    stopped = asyncio.Event()

    def stop() -> None:
        pressed.append("stop")
        stopped.set()

    before = signal.signal(signal.SIGINT, lambda *_: pressed.append("end"))
    try:
        with on_interrupt(stop):
            for _ in range(2):
                stopped.clear()
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.wait_for(stopped.wait(), 10)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == ["stop", "end", "stop", "end"]
