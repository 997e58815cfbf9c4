"""The last lines that a model's process wrote, fit for any terminal, and optionally a log file.

The writer is hostile by assumption: lines may be megabytes long, may hold invalid UTF-8, escape sequences
and control characters. What comes out is bounded in lines, in bytes and in the length of a line, and holds
printable text only. `feed` runs on the thread that drains the pipe, `snapshot` on any other.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import threading
from collections import deque
from pathlib import Path

CUT_MARK = " …"

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # operating system commands: titles, clipboard, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\|$)"  # device control and other strings
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor
    r"|\x1b[ -/]*[0-~]"
)
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(line: str) -> str:
    """Return a line without escape sequences, control characters and direction overrides."""
    return _UNPRINTABLE.sub("", _ESCAPES.sub("", line).replace("\t", "    ")).rstrip()


class LogFile:
    """A file that lines are appended to, private to its owner; a full disk ends the logging, nothing else.

    Above `rotate_bytes` the file becomes `NAME.1`, so that at most two of that size exist.
    """

    def __init__(self, path: Path, *, rotate_bytes: int = 4 * 1024 * 1024) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._file: io.FileIO | None = None

    def append(self, lines: list[str]) -> None:
        """Write lines at the end of the file."""
        data = "".join(f"{line}\n" for line in lines).encode()
        with contextlib.suppress(OSError):
            file = self._file or self._open()
            file.write(data)
            if file.tell() > self._rotate_bytes:
                self.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))

    def close(self) -> None:
        """Close the file; a later `append` opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _open(self) -> io.FileIO:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = io.FileIO(descriptor, "a")
        os.fchmod(descriptor, 0o600)
        return self._file


class LogTail:
    """Bytes in, the newest lines out; `max_bytes` counts UTF-8, `max_line` characters of one line."""

    def __init__(
        self,
        *,
        max_lines: int = 1000,
        max_bytes: int = 256 * 1024,
        max_line: int = 1000,
        log_file: LogFile | None = None,
    ) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._max_line = max_line
        self._log_file = log_file
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._n_bytes = 0
        self._open_line = ""
        self._decoder = _newline_decoder()

    def feed(self, data: bytes) -> None:
        """Take what the process wrote, cut anywhere."""
        with self._lock:
            self._take(self._decoder.decode(data))

    def end(self) -> None:
        """Count the last line although no newline ended it, because the process is gone."""
        with self._lock:
            self._take(self._decoder.decode(b"", final=True) + "\n")
            self._decoder = _newline_decoder()
            if self._log_file is not None:
                self._log_file.close()

    def snapshot(self) -> tuple[str, ...]:
        """Return the lines, oldest first, the one being written included."""
        with self._lock:
            begun = self._finished(self._open_line)
            return (*self._lines, begun) if begun else tuple(self._lines)

    def last(self, count: int) -> tuple[str, ...]:
        """Return the newest `count` lines, oldest first."""
        return self.snapshot()[-count:]

    def _take(self, text: str) -> None:
        head, *rest = text.split("\n")
        self._extend(head)
        complete = []
        for part in rest:
            complete.append(self._finished(self._open_line))
            self._open_line = ""
            self._extend(part)
        self._store([line for line in complete if line])

    def _extend(self, text: str) -> None:
        """Lengthen the open line; one character more than the limit is enough to know that it is cut."""
        self._open_line += text[: self._max_line + 1 - len(self._open_line)]

    def _finished(self, raw: str) -> str:
        line = printable(raw[: self._max_line])
        return line + CUT_MARK if len(raw) > self._max_line else line

    def _store(self, lines: list[str]) -> None:
        if not lines:
            return
        if self._log_file is not None:
            self._log_file.append(lines)
        for line in lines[-self._max_lines :]:
            self._lines.append(line)
            self._n_bytes += len(line.encode())
            while len(self._lines) > self._max_lines or self._n_bytes > self._max_bytes:
                self._n_bytes -= len(self._lines.popleft().encode())


def _newline_decoder() -> io.IncrementalNewlineDecoder:
    """Invalid UTF-8 becomes U+FFFD; a carriage return, alone or before a newline, ends a line."""
    return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
