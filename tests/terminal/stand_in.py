"""A stand-in for the interface under `kobold_tui.supervisor`: takes the screen as Textual does.

Usage: stand_in.py BEHAVIOUR [GRACE_SECONDS]. It writes `UP child parent` once it has the screen
and listens to signals.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Callable

from kobold_tui import supervisor

ON = "\x1b[?1049h\x1b[?1000h\x1b[?1003h\x1b[?1006h\x1b[?2004h\x1b[?1004h\x1b[?25l\x1b[>1u\x1b[?7l"
OFF = "\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"


def say(text: str) -> None:
    os.write(2, text.encode())


class StandIn:
    """The screen taken and given back; the line settings are those found at the start."""

    def __init__(self) -> None:
        self.settings = termios.tcgetattr(0)

    def take(self, word: str) -> None:
        say(ON)
        tty.setraw(0)
        say(f"{word} {os.getpid()} {os.getppid()}.\r\n")

    def give_back(self) -> None:
        termios.tcsetattr(0, termios.TCSANOW, self.settings)
        say(OFF)


def wait(screen: StandIn) -> int:
    screen.take("UP")
    while True:
        signal.pause()


def deaf(screen: StandIn) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: say(f"heard {n}."))
    return wait(screen)


def tidy(screen: StandIn) -> int:
    def end(number: int, _frame: object) -> None:
        screen.give_back()
        say(f"stored after {number}.\n")
        raise SystemExit(3)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    return wait(screen)


def keys(screen: StandIn) -> int:
    """Counts interrupts; `z` suspends as Textual does, `q` ends."""

    def suspend(_number: int, _frame: object) -> None:
        screen.give_back()
        os.kill(os.getpid(), signal.SIGSTOP)

    signal.signal(signal.SIGTSTP, suspend)
    signal.signal(signal.SIGCONT, lambda *_: screen.take("RESUMED"))
    signal.signal(signal.SIGINT, lambda *_: say("interrupted."))
    screen.take("UP")
    while (key := os.read(0, 1)) != b"q":
        if key == b"z":
            os.kill(os.getpid(), signal.SIGTSTP)
        else:
            say(f"key {key!r}.")
    screen.give_back()
    say("bye.\n")
    return 7


def cooked(_screen: StandIn) -> int:
    """Keeps the line settings, so that ctrl+c is a signal; ends with a line of input."""
    count = 0

    def interrupt(_number: int, _frame: object) -> None:
        nonlocal count
        count += 1
        say(f"interrupt {count}.")

    signal.signal(signal.SIGINT, interrupt)
    say("COOKED.")
    sys.stdin.readline()
    say(f"interrupts: {count}.")
    return 0


def vanish(screen: StandIn) -> int:
    screen.take("UP")
    os._exit(9)


def fail(screen: StandIn) -> int:
    screen.take("UP")
    raise RuntimeError("the interface tripped")


def abort(screen: StandIn) -> int:
    screen.take("UP")
    os.abort()


BEHAVIOURS: dict[str, Callable[[StandIn], int]] = {
    "wait": wait,
    "deaf": deaf,
    "tidy": tidy,
    "keys": keys,
    "cooked": cooked,
    "vanish": vanish,
    "fail": fail,
    "abort": abort,
}


def ui() -> int:
    return BEHAVIOURS[sys.argv[1]](StandIn())


if __name__ == "__main__":
    grace = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    sys.exit(supervisor.run(ui, log_place=lambda: "the log folder", grace_seconds=grace))
