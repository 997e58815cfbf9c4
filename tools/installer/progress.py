"""Runs a command, keeps its output in the log and shows that it lives.

On a terminal one line is redrawn with the time and the last line of output; elsewhere a plain line comes
every 20 seconds, so that logs stay readable.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TextIO

from tools.installer.commands import Command

PLAIN_INTERVAL_SECONDS = 20.0
TICK_SECONDS = 0.1
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Progress:
    """Writes phases and the state of running commands to `out`."""

    def __init__(self, out: TextIO, log: Path, environ: dict[str, str]) -> None:
        self.out = out
        self.log = log
        self.environ = environ
        self._live = out.isatty() and environ.get("TERM", "dumb") != "dumb"
        self._last_line = ""
        self._shown = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.out, flush=True)

    def start_log(self) -> None:
        """Empty the log, so that it holds the last set-up and no older one."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("", "utf-8")

    def run(self, command: Command) -> tuple[int, str]:
        """Run `command` to its end; returns its exit code and everything that it wrote."""
        started = time.monotonic()
        self._shown, self._last_line = started, ""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"\n$ {' '.join(command.arguments)}\n")
            log.flush()
            begin = log.tell()
            code = self._run(command, log, started)
        return code, self.log.read_bytes()[begin:].decode("utf-8", errors="replace")

    def _run(self, command: Command, log: TextIO, started: float) -> int:
        try:
            process = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**self.environ, **command.environment, "PYTHONUNBUFFERED": "1"},
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            log.write(f"{error}\n")
            return 127
        reader = threading.Thread(target=self._read, args=(process, log), daemon=True)
        reader.start()
        try:
            while reader.is_alive() and process.poll() is None:
                self._tick(time.monotonic() - started)
                reader.join(TICK_SECONDS)
            process.wait()
        finally:
            self._clear()
            _stop(process)
            reader.join(timeout=2)
        return process.returncode

    def _read(self, process: subprocess.Popen[str], log: TextIO) -> None:
        with contextlib.suppress(ValueError):  # a grandchild may hold the pipe open beyond the log's end
            for line in process.stdout or ():
                log.write(line)
                log.flush()
                self._last_line = line.strip() or self._last_line

    def _tick(self, elapsed: float) -> None:
        text = f"{clock(elapsed)}  {readable(self._last_line)}"
        if self._live:
            frame = FRAMES[int(elapsed / TICK_SECONDS) % len(FRAMES)] if self._unicode() else "*"
            width = shutil.get_terminal_size().columns
            self.out.write("\r\x1b[K" + f"      {frame} {text}"[: width - 1])
            self.out.flush()
        elif time.monotonic() - self._shown >= PLAIN_INTERVAL_SECONDS:
            self._shown = time.monotonic()
            self.say(f"      {text}"[:160])

    def _unicode(self) -> bool:
        return "utf" in (self.out.encoding or "").lower()

    def _clear(self) -> None:
        if self._live:
            self.out.write("\r\x1b[K")
            self.out.flush()


def clock(seconds: float) -> str:
    """Format a duration as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def readable(line: str) -> str:
    """Shorten a compiler's line to its step and file, and take control characters out."""
    clean = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x1f\x7f]", "", line)
    step = re.search(r"\[(\d+)/(\d+)\].*?([\w.+-]+?)(\.o)?$", clean)
    if step is None:
        return clean
    return f"{step[1]} of {step[2]} compiled  {os.path.basename(step[3])}"  # noqa: PTH119  a name, not a place


def _stop(process: subprocess.Popen[str]) -> None:
    """End a command that is still running because the set-up was interrupted."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
