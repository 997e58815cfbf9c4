"""How long the program takes to start, as multiples of an interpreter that does nothing.

The workbench counts as started when a model's row is on the screen, not when the first frame is.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
from collections.abc import Callable, Sequence

from tools.bench.measure import Ratio, Row, paired_ratio, quiet_program

COMMANDS = (("--version",), ("--help",), ("models", "--json"))
STARTER_ROW = b"SmolLM2"
SIZE = (120, 40)
PATIENCE_SECONDS = 30.0


def run() -> list[Row]:
    """Return a row for every command and one for the workbench, which lists the starter model."""
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "KOBOLD_TUI_HOME": home}
        nothing = quiet_program((sys.executable, "-c", "pass"), environ)
        rows = []
        for arguments in COMMANDS:
            command = quiet_program((sys.executable, "-m", "kobold_tui", *arguments), environ)
            rows.append(_row(" ".join(arguments), paired_ratio(command, nothing)))
        workbench = workbench_until((), STARTER_ROW, environ)
        rows.append(_row("with models on screen", paired_ratio(workbench, nothing)))
        return rows


def _row(name: str, ratio: Ratio) -> Row:
    return Row(f"kobold-tui {name}", f"{ratio} of python -c pass")


def workbench_until(arguments: Sequence[str], marker: bytes, environ: dict[str, str]) -> Callable[[], None]:
    """Return a function that starts the workbench, waits until it has written `marker`, and kills it.

    Raises RuntimeError where the program ends before, or writes nothing for a long time.
    """
    command = [sys.executable, "-m", "kobold_tui", *arguments]
    terminal_environ = {**environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}

    def start() -> None:
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(command[0], command, terminal_environ)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        try:
            _read_until(terminal, marker)
        finally:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)

    return start


def _read_until(terminal: int, marker: bytes) -> None:
    shown = b""
    while marker not in shown:
        if not select.select([terminal], [], [], PATIENCE_SECONDS)[0]:
            raise RuntimeError(f"the workbench says nothing after {shown[-200:]!r}")
        try:
            shown += os.read(terminal, 65536)
        except OSError as error:
            raise RuntimeError(f"the workbench ended after {shown[-200:]!r}") from error
