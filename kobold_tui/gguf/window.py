"""Bounded reads of a file that may be damaged, hostile or shrinking while it is read.

The file is read in pieces with `os.pread`, never mapped: a mapped file that another process cuts short
ends the whole program with SIGBUS. Every read is checked against the size that the file had when opened.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from types import TracebackType
from typing import NoReturn, Self

from kobold_tui.domain.errors import ModelFileError

PIECE_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 256 * 1024 * 1024
MAX_KEPT_BYTES = 36 * 1024 * 1024
MAX_ARRAY_ITEMS = 262_144
MAX_WALKED_STRINGS = 4_194_304
DAMAGED_HINT = "Download or copy the file again."


class Window:
    """A moving view of a file, with a position; all numbers are read in the byte order of the file.

    Bounded over the whole file are the bytes of the header, the memory of what is kept of it, the items of
    arrays that are decoded, and the strings that are walked over. Raises ModelFileError, which names the
    file and the offset, for everything that can go wrong.
    """

    def __init__(self, path: str, piece_bytes: int = PIECE_BYTES) -> None:
        self.path = path
        self._piece_bytes = piece_bytes
        self._start = 0
        self._at = 0
        self._bytes = b""
        self._room = MAX_KEPT_BYTES
        self._items_left = MAX_ARRAY_ITEMS
        self._strings_left = MAX_WALKED_STRINGS
        self._fd, self.size = _open(path)
        self.use_byte_order("<")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def use_byte_order(self, order: str) -> None:
        """Read numbers as little-endian (`<`) or big-endian (`>`) from here on."""
        self.order = order
        self._u32 = struct.Struct(order + "I")
        self._u64 = struct.Struct(order + "Q")

    @property
    def position(self) -> int:
        """Offset in the file of the next byte."""
        return self._start + self._at

    def fail(
        self,
        reason: str,
        hint: str = DAMAGED_HINT,
        title: str = "Damaged model file",
        *,
        at: int | None = None,
    ) -> NoReturn:
        """Raise ModelFileError for the offset `at`, else for the current position."""
        offset = self.position if at is None else at
        raise ModelFileError(title, f"{self.path}: {reason} (at byte {offset:,}).", hint)

    def keep(self, n_bytes: int) -> None:
        """Take so much of the memory that a header may cost, or fail."""
        self._room -= n_bytes
        if self._room < 0:
            self.fail(f"its header holds more than {MAX_KEPT_BYTES:,} bytes that would have to be kept")

    def may_decode(self, count: int) -> bool:
        """Whether so many items of arrays can be decoded in addition to those before."""
        if count > self._items_left:
            return False
        self._items_left -= count
        return True

    def peek(self, n_bytes: int) -> bytes:
        """Return the next bytes without moving, fewer where the file ends."""
        n_bytes = min(n_bytes, self.size - self.position)
        self._need(n_bytes)
        return self._bytes[self._at : self._at + n_bytes]

    def u32(self) -> int:
        """Read an unsigned 32-bit number."""
        self._need(4)
        (value,) = self._u32.unpack_from(self._bytes, self._at)
        self._at += 4
        return int(value)

    def u64(self) -> int:
        """Read an unsigned 64-bit number."""
        self._need(8)
        (value,) = self._u64.unpack_from(self._bytes, self._at)
        self._at += 8
        return int(value)

    def numbers(self, format_code: str, count: int) -> tuple[int | float, ...]:
        """Read `count` numbers of one `struct` format."""
        layout = struct.Struct(f"{self.order}{count}{format_code}")
        self._need(layout.size)
        values = layout.unpack_from(self._bytes, self._at)
        self._at += layout.size
        return values

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Read numbers by a layout made for the byte order of the file."""
        self._need(layout.size)
        values: tuple[int, ...] = layout.unpack_from(self._bytes, self._at)
        self._at += layout.size
        return values

    def text(self, max_bytes: int, what: str) -> str:
        """Read a length-prefixed UTF-8 string of at most `max_bytes`; broken characters are replaced."""
        begin = self.position
        length = self.u64()
        if length > max_bytes:
            self.fail(f"{what} claims to be {length:,} bytes long", at=begin)
        return self.characters(length)

    def characters(self, n_bytes: int) -> str:
        """Read a UTF-8 string of so many bytes; broken characters are replaced."""
        self._need(n_bytes)
        text = self._bytes[self._at : self._at + n_bytes].decode("utf-8", "replace")
        self.keep(sys.getsizeof(text))
        self._at += n_bytes
        return text

    def skip(self, n_bytes: int) -> None:
        """Move on by so many bytes."""
        self._seek(self.position + n_bytes)

    def skip_strings(self, count: int) -> None:
        """Move past `count` length-prefixed strings; strings have no table, so each length is read."""
        if count > self._strings_left:
            self.fail(f"its header claims to hold more than {MAX_WALKED_STRINGS:,} strings")
        self._strings_left -= count
        while count:
            self._need(8)
            passed, at = _walk(self._bytes, self._at, count, self._u64)
            count -= passed
            self._seek(self._start + at)

    def _seek(self, position: int) -> None:
        if position > self.size:
            self.fail(f"the header goes on to byte {position:,} but the file has {self.size:,}")
        self._check_length(position)
        if position <= self._start + len(self._bytes):
            self._at = position - self._start
        else:
            self._start, self._at, self._bytes = position, 0, b""

    def _need(self, n_bytes: int) -> None:
        if self._at + n_bytes > len(self._bytes):
            self._refill(n_bytes)

    def _refill(self, n_bytes: int) -> None:
        if self.position + n_bytes > self.size:
            self.fail(f"the file ends inside its header, after {self.size:,} bytes")
        self._check_length(self.position + n_bytes)
        self._start, self._at, self._bytes = self.position, 0, self._bytes[self._at :]
        pieces = [self._bytes]
        wanted = max(n_bytes, min(self._piece_bytes, self.size - self._start)) - len(self._bytes)
        while wanted > 0:
            piece = self._pread(wanted, self._start + sum(map(len, pieces)))
            pieces.append(piece)
            wanted -= len(piece)
        self._bytes = b"".join(pieces)

    def _check_length(self, end: int) -> None:
        if end > MAX_HEADER_BYTES:
            self.fail(f"its header is longer than {MAX_HEADER_BYTES:,} bytes, which makes no sense")

    def _pread(self, n_bytes: int, offset: int) -> bytes:
        try:
            piece = os.pread(self._fd, n_bytes, offset)
        except OSError as error:
            self.fail(f"reading failed: {error.strerror}", "Check the disk or the network share.")
        if not piece:
            self.fail(
                "the file became shorter while it was read", "Wait until it is written, then try again."
            )
        return piece


def _walk(window: bytes, at: int, count: int, u64: struct.Struct) -> tuple[int, int]:
    """Return how many strings were passed and where the next begins, which can lie beyond the window."""
    unpack = u64.unpack_from
    passed = 0
    try:
        for passed in range(count):  # noqa: B007 - tells how far the walk came
            at += 8 + unpack(window, at)[0]
    except (struct.error, OverflowError):
        return passed, at
    return count, at


def _open(path: str) -> tuple[int, int]:
    """Open a regular file; returns descriptor and size. O_NONBLOCK keeps a named pipe from blocking.

    A name that is not UTF-8 fits neither the wire nor a preset: it is refused here, before anything is read.
    """
    if (shown := path.encode(errors="replace").decode()) != path:
        raise ModelFileError("Unusable name", f"The name of {shown} is not UTF-8.", "Rename the file.")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ModelFileError(
            "No such file", f"{path} does not exist.", "Check the spelling of the path."
        ) from None
    except (OSError, ValueError) as error:
        raise _cannot_open(path, error) from None
    try:
        status = os.fstat(fd)
    except OSError as error:
        os.close(fd)
        raise _cannot_open(path, error) from None
    if stat.S_ISREG(status.st_mode):
        return fd, status.st_size
    os.close(fd)
    if stat.S_ISDIR(status.st_mode):
        raise ModelFileError("Not a model file", f"{path} is a folder.", "Name a .gguf file inside it.")
    raise ModelFileError("Not a model file", f"{path} is not a regular file.", "Name a .gguf file.")


def _cannot_open(path: str, error: OSError | ValueError) -> ModelFileError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ModelFileError(
        "Cannot open the file", f"{path}: {reason}.", "Check the path and your permission to read it."
    )
