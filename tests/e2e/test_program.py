"""The judged journeys, in a real terminal with a real model: chat, crash, kill, signals."""

from __future__ import annotations

import os
import re
import signal
import termios
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from tests.e2e.conftest import Program, Start

ALTERNATE_SCREEN_OFF = b"\x1b[?1049l"
CTRL_Q, CTRL_R, ESCAPE, F4 = b"\x11", b"\x12", b"\x1b", b"\x1bOS"
TWO_SECONDS = 2.0


def answer_begins(program: Program, message: str) -> None:
    """Send a message and wait until its answer has begun to show."""
    program.press(message.encode() + b"\r")
    program.until_screen(rf"▌ {message}")
    program.until_screen(r"Esc stops|tok/s")


def assert_all_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=TWO_SECONDS)
    assert alive == []


def test_enter_loads_and_typing_gets_an_answer_and_quitting_leaves_nothing_behind(start: Start) -> None:
    program = start()
    program.until_screen(r"○ tiny")
    program.press(b"\r")
    program.until_screen(r"● .*ready")
    program.until_screen(r"Message ")
    program.press(b"Hello there\r")
    program.until_screen(r"tok/s")
    workers = program.workers()
    assert workers
    program.press(CTRL_Q)
    assert program.terminal.until_exit() == 0
    assert_all_gone(workers)
    assert program.terminal.settings[:4] == program.terminal.settings_before[:4]
    user, reply = program.stored()
    assert (user.text, reply.role, reply.status) == ("Hello there", "assistant", "complete")


def test_ten_kills_of_the_model_in_a_row_cost_nothing_but_the_rest_of_each_answer(chatting: Program) -> None:
    for number in range(10):
        answer_begins(chatting, f"message {number}")
        victims = chatting.workers()
        for victim in victims:
            victim.kill()
        chatting.until_screen(r"✗ The model process ended|✗ .*ended")
        assert_all_gone(victims)
        chatting.press(CTRL_R)
        chatting.until_screen(r"● .*ready")
        chatting.press(F4)
        chatting.until_screen(r"Message ")
    answer_begins(chatting, "the last one")
    chatting.press(CTRL_Q)
    assert chatting.terminal.until_exit() == 0
    texts = [message.text for message in chatting.stored() if message.role == "user"]
    assert texts == [*(f"message {number}" for number in range(10)), "the last one"]


def test_killing_the_interface_leaves_no_worker_and_a_usable_prompt(chatting: Program) -> None:
    workers = chatting.workers()
    chatting.interface().kill()
    assert chatting.terminal.until_exit() == 128 + signal.SIGKILL
    assert_all_gone(workers)
    assert ALTERNATE_SCREEN_OFF in chatting.terminal.output
    settings, before = chatting.terminal.settings, chatting.terminal.settings_before
    assert settings[3] == before[3]
    assert int(str(settings[3])) & termios.ECHO
    assert b"Conversations are stored" in chatting.terminal.output


def test_a_lost_terminal_in_mid_answer_stores_what_had_arrived(chatting: Program) -> None:
    answer_begins(chatting, "tell me more")
    workers = chatting.workers()
    os.kill(chatting.terminal.process.pid, signal.SIGHUP)
    assert chatting.terminal.until_exit() == 128 + signal.SIGHUP
    assert_all_gone(workers)
    user, reply = chatting.stored()
    assert user.text == "tell me more"
    assert reply.status in {"interrupted", "complete"}
    assert ALTERNATE_SCREEN_OFF in chatting.terminal.output


def test_an_abort_of_the_interface_gives_the_terminal_back(chatting: Program) -> None:
    workers = chatting.workers()
    chatting.interface().send_signal(signal.SIGABRT)
    assert chatting.terminal.until_exit() == 128 + signal.SIGABRT
    assert_all_gone(workers)
    assert ALTERNATE_SCREEN_OFF in chatting.terminal.output


def test_an_alt_key_copies_the_answer_and_types_nothing(chatting: Program) -> None:
    answer_begins(chatting, "copy me")
    chatting.until_screen(r"tok/s")
    chatting.press(b"\x1bc")
    chatting.until_screen(r"Copied the last answer")
    assert re.search(r"Message tiny", chatting.screen)


def test_escape_stops_an_answer(chatting: Program) -> None:
    answer_begins(chatting, "go on")
    chatting.press(ESCAPE)
    chatting.until_screen(r"interrupted|tok/s")
    chatting.press(b"and again\r")
    chatting.until_screen(r"and again")
