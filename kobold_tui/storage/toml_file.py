"""Reads TOML files into frozen values and writes files so that a crash leaves the old or the new one.

Reading is strict: an unknown key, a wrong type or a value out of range is an error that names the file,
the key, what stands there and what would be right.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.paths import make_private_folder

T = TypeVar("T")

MAX_BYTES = 1024 * 1024
Table = dict[str, Any]


def read_toml(path: Path, type_: type[T]) -> T:
    """Return the file as a value of `type_`. Raises KoboldError."""
    return convert(read_table(path), type_, path)


def read_table(path: Path) -> Table:
    """Return the file as nested dicts, unchecked. Raises KoboldError for unreadable files and bad syntax."""
    return parse_table(read_content(path), path)


def parse_table(content: bytes, path: Path) -> Table:
    """Return the content of a file as nested dicts, unchecked. Raises KoboldError, which names `path`."""
    import tomllib

    text = _text(content, path)
    try:
        return tomllib.loads(text)
    except ValueError as error:  # also of numbers that are too long to be read
        raise KoboldError("Not valid TOML", f"{path}: {error}.", "Mend that line.") from None
    except RecursionError:
        raise KoboldError(
            "Not valid TOML", f"{path}: values are nested too deeply.", "Mend the file."
        ) from None


def read_content(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return what a regular file holds. Raises KoboldError, also where it is larger than `max_bytes`."""
    try:
        content = _read_bytes(path, max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise KoboldError(
            "Cannot read a file", f"{path}: {reason}.", "Check the path and your permission to read it."
        ) from None
    if len(content) > max_bytes:
        raise KoboldError(
            "Cannot read a file",
            f"{path} is larger than {max_bytes // MAX_BYTES} MiB.",
            "This does not look like the right file.",
        )
    return content


def convert(table: Table, type_: type[T], path: Path) -> T:
    """Return a table as a value of `type_`. Raises KoboldError, which names `path` and the key."""
    try:
        return msgspec.convert(table, type_, strict=True, str_keys=True)
    except msgspec.ValidationError as error:
        from kobold_tui.storage.toml_errors import explain

        raise explain(str(error), table, type_, path) from None


def write_toml(path: Path, value: object) -> None:
    """Write a struct or a table atomically; fields that are None are left out. Raises KoboldError."""
    write_atomically(path, dump(value).encode())


def dump(value: object) -> str:
    """Return a struct or a table as TOML; texts of several lines stay readable where that is lossless."""
    import tomllib

    import tomli_w

    table = _without_none(msgspec.to_builtins(value, str_keys=True))
    text = tomli_w.dumps(table, multiline_strings=True)
    try:
        if tomllib.loads(text) == table:
            return text
    except tomllib.TOMLDecodeError:
        pass
    return tomli_w.dumps(table)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the content of a file at once: a reader, a crash or a full disk sees old or new, never half.

    A link is followed, its target replaced. Folders that are missing are made. Raises KoboldError.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        make_private_folder(target.parent)
        _write_and_sync(temporary, data, mode)
        temporary.replace(target)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise KoboldError(
            "Cannot write a file",
            f"{path}: {reason}. What was there before is unchanged.",
            "Free some space, or make the folder writable.",
        ) from error
    _sync_folder(target.parent)


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise KoboldError(
            "Not valid TOML", f"{path}: line {line} is not UTF-8 text.", "Save the file as UTF-8."
        ) from None


def _read_bytes(path: Path, most: int) -> bytes:
    """Return `most` bytes at most; O_NONBLOCK keeps a named pipe from blocking."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        pieces = []
        left = most
        while left and (piece := os.read(fd, left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def _write_and_sync(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, on file systems that can."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
