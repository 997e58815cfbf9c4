"""Copies text to where the person can paste it, and says which way it went.

Inside tmux only `tmux load-buffer -w` works with every configuration; over SSH the terminal at the other
end has to take it (OSC 52); at home a clipboard program is the surest. A file is what always remains.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

CopyRoute = Literal["tmux", "osc52", "local", "file"]

OSC52_LIMIT_BYTES = 74_994
"""Most base64 that terminals take in one sequence (xterm's own limit); longer ones are dropped silently."""

TIMEOUT_SECONDS = 2.0
_SSH_VARIABLES = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


class CopyResult(msgspec.Struct, frozen=True, kw_only=True):
    """Which way a text went, with a sentence that tells where it can be pasted."""

    route: CopyRoute
    detail: str


class Clipboard:
    """Chooses the way by the environment; `write_terminal` sends an escape sequence, None has no terminal."""

    def __init__(
        self,
        environ: Mapping[str, str],
        write_terminal: Callable[[str], None] | None,
        *,
        fallback_dir: Path,
        run: Run = subprocess.run,
    ) -> None:
        self._environ = environ
        self._write_terminal = write_terminal
        self._fallback_dir = fallback_dir
        self._run = run

    @property
    def route(self) -> CopyRoute:
        """The way that a short text is going to be tried first."""
        if self._tmux() is not None:
            return "tmux"
        if self._local_program() is not None:
            return "local"
        return "osc52" if self._write_terminal else "file"

    def copy(self, text: str) -> CopyResult:
        """Copy `text` by the first way that works. It can block for seconds: call it on a thread.

        Raises KoboldError where even the file cannot be written.
        """
        return self._by_tmux(text) or self._by_program(text) or self._by_terminal(text) or self._to_file(text)

    def _by_tmux(self, text: str) -> CopyResult | None:
        tmux = self._tmux()
        if tmux is None or not self._succeeds([tmux, "load-buffer", "-w", "-"], text):
            return None
        return CopyResult(route="tmux", detail="Copied to tmux and the terminal's clipboard.")

    def _by_program(self, text: str) -> CopyResult | None:
        command = self._local_program()
        if command is None or not self._succeeds(command, text):
            return None
        return CopyResult(route="local", detail=f"Copied to the clipboard by {Path(command[0]).name}.")

    def _by_terminal(self, text: str) -> CopyResult | None:
        payload = base64.b64encode(text.encode(errors="replace")).decode()
        if self._write_terminal is None or len(payload) > OSC52_LIMIT_BYTES:
            return None
        self._write_terminal(f"\x1b]52;c;{payload}\x07")
        return CopyResult(route="osc52", detail="Copied to the clipboard of your terminal (OSC 52).")

    def _to_file(self, text: str) -> CopyResult:
        from kobold_tui.storage.toml_file import write_atomically

        path = self._fallback_dir / "clipboard.txt"
        write_atomically(path, text.encode(errors="replace"))
        return CopyResult(route="file", detail=f"No clipboard takes this here; it is in {path}.")

    def _tmux(self) -> str | None:
        return self._find("tmux") if self._environ.get("TMUX") else None

    def _local_program(self) -> list[str] | None:
        """Return the command that owns the clipboard of this very screen, None over SSH."""
        if any(self._environ.get(name) for name in _SSH_VARIABLES):
            return None
        for needs, name, *arguments in _programs():
            if (not needs or self._environ.get(needs)) and (program := self._find(name)):
                return [program, *arguments]
        return None

    def _find(self, name: str) -> str | None:
        return shutil.which(name, path=self._environ.get("PATH", ""))

    def _succeeds(self, command: Sequence[str], text: str) -> bool:
        """Feed `text` to a program. Its output goes nowhere: xclip keeps it open for as long as it serves."""
        try:
            done = self._run(
                list(command),
                input=text.encode(errors="replace"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_SECONDS,
                env=dict(self._environ),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def _programs() -> tuple[tuple[str, ...], ...]:
    """Return, best first: the variable that must be set, the program and its arguments."""
    if sys.platform == "darwin":
        return (("", "pbcopy"),)
    return (
        ("WAYLAND_DISPLAY", "wl-copy"),
        ("DISPLAY", "xclip", "-selection", "clipboard"),
        ("DISPLAY", "xsel", "--clipboard", "--input"),
    )
