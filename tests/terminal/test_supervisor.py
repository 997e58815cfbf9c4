"""The terminal is as before whatever ends the interface, and the shell's job control works."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable

import pytest
from pseudo_terminal import Terminal

from kobold_tui import supervisor

OFF = supervisor.MODES_OFF.encode()
UP = rb"UP (\d+) (\d+)\."
RESUMED = rb"RESUMED (\d+) (\d+)\."

Open = Callable[..., Terminal]


def processes(terminal: Terminal) -> tuple[int, int]:
    """Wait until the interface has the screen; returns its process and the parent that watches."""
    found = terminal.until_shown(UP)
    return int(found[1]), int(found[2])


def open_shell(open_terminal: Open, *command: str) -> Terminal:
    """Run a command by hand in an interactive bash, which has job control."""
    terminal = open_terminal("bash", "--norc", "--noprofile", "-i")
    terminal.until_shown(rb"\$ ")
    terminal.type(shlex.join(command).encode() + b"\r")
    return terminal


def test_the_status_of_the_interface_is_that_of_the_program(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_terminal(*stand_in, "keys")
    processes(terminal)
    terminal.type(b"q")
    assert terminal.until_exit() == 7


def test_after_a_normal_end_nothing_is_written_over_the_last_words(
    open_terminal: Open, stand_in: list[str]
) -> None:
    terminal = open_terminal(*stand_in, "keys")
    processes(terminal)
    terminal.type(b"q")
    terminal.until_exit()
    assert terminal.output.endswith(b"bye.\r\n")
    assert terminal.settings == terminal.settings_before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_that_ends_the_interface_leaves_a_usable_terminal(
    open_terminal: Open, stand_in: list[str], number: signal.Signals
) -> None:
    terminal = open_terminal(*stand_in, "wait")
    interface, _ = processes(terminal)
    os.kill(interface, number)
    assert terminal.until_exit() == 128 + number
    assert OFF in terminal.output
    assert terminal.settings == terminal.settings_before


def test_a_crash_is_told_in_one_line_that_names_the_log(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_terminal(*stand_in, "abort")
    assert terminal.until_exit() == 128 + signal.SIGABRT
    after = terminal.output.split(OFF)[1].decode()
    assert after == (
        "kobold-tui: the interface was ended by SIGABRT. Conversations are stored. "
        "The log is in the log folder.\r\n"
    )


def test_an_exit_without_farewell_leaves_a_usable_terminal(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_terminal(*stand_in, "vanish")
    assert terminal.until_exit() == 9
    assert OFF in terminal.output
    assert terminal.settings == terminal.settings_before


def test_an_error_on_the_screen_is_readable_afterwards(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_terminal(*stand_in, "fail")
    assert terminal.until_exit() == 1
    assert b"the interface tripped" in terminal.output.split(OFF)[1]
    assert terminal.settings == terminal.settings_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_parent_lets_the_interface_store_everything_first(
    open_terminal: Open, stand_in: list[str], number: signal.Signals
) -> None:
    terminal = open_terminal(*stand_in, "tidy")
    _, parent = processes(terminal)
    os.kill(parent, number)
    assert terminal.until_exit() == 3
    assert b"stored after %d." % number in terminal.output


def test_an_interface_that_does_not_end_is_killed_after_the_grace_time(
    open_terminal: Open, stand_in: list[str]
) -> None:
    terminal = open_terminal(*stand_in, "deaf", "0.3")
    _, parent = processes(terminal)
    os.kill(parent, signal.SIGHUP)
    assert terminal.until_exit() == 128 + signal.SIGHUP
    assert b"heard %d." % signal.SIGHUP in terminal.output
    assert OFF in terminal.output
    assert b"ended by" not in terminal.output


def test_an_interrupt_for_the_parent_is_passed_on(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_terminal(*stand_in, "keys")
    _, parent = processes(terminal)
    os.kill(parent, signal.SIGINT)
    terminal.until_shown(rb"interrupted\.")
    terminal.type(b"q")
    assert terminal.until_exit() == 7


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whether a key sent the signal")
def test_an_interrupt_by_key_reaches_the_interface_once(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_terminal(*stand_in, "cooked")
    terminal.until_shown(rb"COOKED\.")
    terminal.type(b"\x03")
    terminal.until_shown(rb"interrupt 1\.")
    terminal.type(b"\r")
    assert terminal.until_exit() == 0
    assert b"interrupts: 1." in terminal.output


def test_suspend_gives_the_shell_its_terminal_and_fg_brings_the_interface_back(
    open_terminal: Open, stand_in: list[str]
) -> None:
    terminal = open_shell(open_terminal, *stand_in, "keys")
    processes(terminal)
    for turn in (1, 2):
        terminal.type(b"z")
        terminal.until_shown(rb"Stopped", times=turn)
        terminal.type(f"echo in-$((40 + {turn}))\r".encode())
        terminal.until_shown(b"in-%d\r\n" % (40 + turn))
        terminal.type(b"fg\r")
        terminal.until_shown(RESUMED, times=turn)
        terminal.type(b"x")
        terminal.until_shown(rb"key b'x'\.", times=turn)
    terminal.type(b"q")
    terminal.until_shown(rb"bye\.")
    terminal.type(b"echo status-$?; exit\r")
    terminal.until_shown(rb"status-7")
    terminal.until_exit()


def test_the_interface_is_resumed_once(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_shell(open_terminal, *stand_in, "keys")
    processes(terminal)
    terminal.type(b"z")
    terminal.until_shown(rb"Stopped")
    terminal.type(b"fg\r")
    terminal.until_shown(RESUMED)
    enough = time.monotonic() + 3 * supervisor.CONTINUE_SECONDS
    terminal.until(lambda: time.monotonic() > enough)
    assert len(re.findall(RESUMED, terminal.output)) == 1


def test_a_stop_without_warning_leaves_a_usable_terminal(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_shell(open_terminal, *stand_in, "keys")
    interface, _ = processes(terminal)
    os.kill(interface, signal.SIGSTOP)
    terminal.until_shown(rb"Stopped")
    assert OFF in terminal.output
    terminal.type(b"fg\r")
    terminal.until_shown(RESUMED)


def test_a_stop_signal_for_the_parent_alone_suspends_both(open_terminal: Open, stand_in: list[str]) -> None:
    terminal = open_shell(open_terminal, *stand_in, "keys")
    _, parent = processes(terminal)
    os.kill(parent, signal.SIGTSTP)
    terminal.until_shown(rb"Stopped")
    terminal.type(b"fg\r")
    terminal.until_shown(RESUMED)
    terminal.type(b"q")
    terminal.until_shown(rb"bye\.")


def test_suspend_without_a_shell_with_job_control_comes_back_at_once(
    open_terminal: Open, stand_in: list[str]
) -> None:
    terminal = open_terminal(*stand_in, "keys")
    processes(terminal)
    terminal.type(b"z")
    terminal.until_shown(RESUMED)
    terminal.type(b"q")
    assert terminal.until_exit() == 7


@pytest.mark.parametrize(("behaviour", "grace"), [("tidy", "30"), ("wait", "30"), ("deaf", "0.3")])
def test_the_interface_ends_when_its_parent_is_killed(
    open_terminal: Open,
    stand_in: list[str],
    is_gone: Callable[[int], bool],
    behaviour: str,
    grace: str,
) -> None:
    script = f"{shlex.join([*stand_in, behaviour, grace])}; echo shell-$?; read line"
    terminal = open_terminal("sh", "-c", script)
    interface, parent = processes(terminal)
    os.kill(parent, signal.SIGKILL)
    terminal.until_shown(rb"shell-137")
    terminal.until(lambda: is_gone(interface))
    terminal.until_shown(rb"stored after 1\." if behaviour == "tidy" else rb"\x1b\[\?1049l")


def test_without_a_terminal_the_interface_runs_unwatched(open_terminal: Open, stand_in: list[str]) -> None:
    code = "import os; from kobold_tui import supervisor; me = os.getpid()"
    code += "; raise SystemExit(supervisor.run(lambda: 5 if os.getpid() == me else 6))"
    terminal = open_terminal("sh", "-c", f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} < /dev/null")
    assert terminal.until_exit() == 5
