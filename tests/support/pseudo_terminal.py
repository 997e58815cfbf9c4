"""A pseudo-terminal to run programs in, with everything that they write kept; tests wait on what it shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence

import psutil

PATIENCE_SECONDS = 20.0
ADOPT_TERMINAL = (
    "import fcntl, os, sys, termios; "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """One program on a terminal of 80x24 of its own, which it controls as a shell in a window does."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.settings_before = termios.tcgetattr(self._slave)
        self.output = b""
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", ADOPT_TERMINAL, *command],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            env=environment,
        )

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def until(self, is_true: Callable[[], object]) -> None:
        """Read on until a condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_true():
            assert time.monotonic() < deadline, f"waited in vain; the terminal shows {self.output[-2000:]!r}"
            self._read(0.02)

    def until_shown(self, pattern: bytes, times: int = 1) -> re.Match[bytes]:
        """Read on until `pattern` has appeared; returns its last appearance."""
        self.until(lambda: len(re.findall(pattern, self.output)) >= times)
        return list(re.finditer(pattern, self.output))[-1]

    def until_asleep(self) -> None:
        """Read on until the program waits for something, which is then the keyboard.

        `input` shows its prompt a moment before it listens; a ctrl+c in between is not noticed.
        """
        self.until(lambda: psutil.Process(self.process.pid).status() == psutil.STATUS_SLEEPING)

    def until_exit(self) -> int:
        """Read on until the program has ended; returns its status as `subprocess` gives it."""
        self.until(lambda: self.process.poll() is not None)
        while self._read(0.0):
            pass
        assert self.process.returncode is not None
        return int(self.process.returncode)

    def close(self) -> None:
        """End the program and everything that it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        readable, _, _ = select.select([self._master], [], [], seconds)
        if readable:
            self.output += os.read(self._master, 65536)
        return bool(readable)
