"""Remembers catalogue rows between runs, so that an unchanged file is not read again.

A row holds as long as size and time of change of every part of the model are the same. The index is a
cache: a file that is missing, broken or of another version counts as empty, and failing to write it is no
error.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from kobold_tui import __version__
from kobold_tui.catalogue.entry import read_entry
from kobold_tui.domain.model import ModelEntry
from kobold_tui.gguf.shards import shard_name

_VERSION = f"1 {__version__}"
_MAX_BYTES = 64 * 1024 * 1024

Stamp = tuple[tuple[int, int], ...]


class _Row(msgspec.Struct, frozen=True, array_like=True):
    stamp: Stamp
    entry: ModelEntry


class _Content(msgspec.Struct, frozen=True):
    version: str
    rows: dict[str, _Row]


class CatalogueIndex:
    """Rows by path; `read` can be given to `scan` in place of `read_entry`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, _Row] | None = None
        self._used: dict[str, _Row] = {}

    def read(self, path: Path, source: str) -> ModelEntry:
        """Return the row for a model, read anew where it has changed. Raises ModelFileError."""
        if self._known is None:
            self._known = _load(self._path)
        stamp = _stamp(path)
        row = self._known.get(str(path))
        if row is None or stamp is None or row.stamp != stamp:
            row = _Row(stamp or (), read_entry(path, source))
        if stamp is not None:
            self._used[str(path)] = row
        return msgspec.structs.replace(row.entry, source=source)

    def save(self) -> None:
        """Write the rows that were asked for, if anything has changed."""
        if self._used == self._known:
            return
        content = msgspec.json.encode(_Content(version=_VERSION, rows=self._used))
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(self._path)
            self._known = dict(self._used)


def _load(path: Path) -> dict[str, _Row]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        content = msgspec.json.decode(path.read_bytes(), type=_Content)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return content.rows if content.version == _VERSION else {}


def _stamp(path: Path) -> Stamp | None:
    """Return size and time of change (ns) of every part; None where one cannot be asked."""
    shard = shard_name(str(path))
    parts = [shard.sibling(index + 1) for index in range(shard.count)] if shard else [str(path)]
    try:
        states = [os.stat(part) for part in parts]  # noqa: PTH116 - paths are text here
    except (OSError, ValueError):
        return None
    return tuple((state.st_size, state.st_mtime_ns) for state in states)
