"""Remembers what models say between runs, so that an unchanged file is not read again.

A row holds as long as size and time of change of every part of the model are the same; what was not asked
for in a month is forgotten. The index is a cache: a file that is missing, broken or of another version counts
as empty, and failing to write it is no error. Files that cannot be used are remembered in memory alone.
Several threads may read at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import msgspec

from kobold_tui import __version__
from kobold_tui.catalogue.entry import read_sighting
from kobold_tui.catalogue.stores import FoundFile
from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import Sighting
from kobold_tui.gguf.shards import shard_name

_VERSION = f"2 {__version__}"
_MAX_BYTES = 64 * 1024 * 1024
_MAX_ROWS = 20_000
_KEEP_DAYS = 30
_DAY_SECONDS = 86_400

Stamp = tuple[tuple[int, int], ...]


class _Row(msgspec.Struct, frozen=True, array_like=True):
    stamp: Stamp
    sighting: Sighting
    day: int


class _Content(msgspec.Struct, frozen=True):
    version: str
    rows: dict[str, _Row]


class CatalogueIndex:
    """Sightings by path; `read` can be given to `look_through`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._rows: dict[str, _Row] | None = None
        self._refused: dict[str, tuple[tuple[int, ...], ModelFileError]] = {}
        self._changed = False

    def read(self, found: FoundFile) -> Sighting:
        """Return what a file says, read anew where it has changed. Raises ModelFileError."""
        key, rows = str(found.path), self._loaded()
        stamp, today = _stamp(key), int(time.time()) // _DAY_SECONDS
        row = rows.get(key)
        if row is not None and stamp is not None and row.stamp == stamp:
            if row.day != today:
                self._remember(key, _Row(stamp, row.sighting, today))
            return row.sighting
        sighting = self._read_anew(found, key)
        if stamp is not None:
            self._remember(key, _Row(stamp, sighting, today))
        return sighting

    def save(self) -> None:
        """Write the rows, if anything has changed."""
        with self._writing, contextlib.suppress(OSError):
            with self._lock:
                if self._rows is None or not self._changed:
                    return
                self._changed = False
                rows = dict(self._rows)
            content = msgspec.json.encode(_Content(version=_VERSION, rows=_worth_keeping(rows)))
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._path, content)

    def _loaded(self) -> dict[str, _Row]:
        with self._lock:
            if self._rows is None:
                self._rows = _load(self._path)
            return self._rows

    def _remember(self, key: str, row: _Row) -> None:
        with self._lock:
            if self._rows is not None:
                self._rows[key] = row
                self._changed = True

    def _read_anew(self, found: FoundFile, key: str) -> Sighting:
        """Read the file, unless it was refused before and has not changed in any way since."""
        state = _full_state(key)
        refused = self._refused.get(key)
        if state and refused is not None and refused[0] == state:
            raise refused[1]
        try:
            return read_sighting(found.path, found.source)
        except ModelFileError as error:
            if state:
                self._refused[key] = (state, error)
            raise


def _write(path: Path, content: bytes) -> None:
    """Put `content` in place of the file at once; a write that fails leaves nothing behind."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _worth_keeping(rows: dict[str, _Row]) -> dict[str, _Row]:
    """Return the rows asked for lately; the newest of too many."""
    today = int(time.time()) // _DAY_SECONDS
    kept = {key: row for key, row in rows.items() if row.day >= today - _KEEP_DAYS}
    if len(kept) > _MAX_ROWS:
        kept = dict(sorted(kept.items(), key=lambda item: -item[1].day)[:_MAX_ROWS])
    return kept


def _load(path: Path) -> dict[str, _Row]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        content = msgspec.json.decode(path.read_bytes(), type=_Content)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return content.rows if content.version == _VERSION else {}


def _stamp(path: str) -> Stamp | None:
    """Return size and time of change (ns) of every part; None where one cannot be asked."""
    shard = shard_name(path)
    parts = [shard.sibling(index + 1) for index in range(shard.count)] if shard else [path]
    try:
        states = [os.stat(part) for part in parts]  # noqa: PTH116 - paths are text here
    except (OSError, ValueError):
        return None
    return tuple((state.st_size, state.st_mtime_ns) for state in states)


def _full_state(path: str) -> tuple[int, ...]:
    """Return what changes with the content or the rights of a file in one part; empty for all others."""
    if shard_name(path) is not None:
        return ()
    try:
        state = os.stat(path)  # noqa: PTH116 - paths are text here
    except (OSError, ValueError):
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
