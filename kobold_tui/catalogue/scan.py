"""One place looked through from end to end, as a stream: every model is read as it is found.

A plain generator, to be run in a thread of its own: a slow network mount holds up nothing but itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import msgspec

from kobold_tui.catalogue.entry import read_sighting
from kobold_tui.catalogue.stores import FoundFile, ModelStore
from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.joining import join
from kobold_tui.domain.model import ModelEntry, ModelFault, Sighting
from kobold_tui.gguf.shards import shard_name

Inode = tuple[int, int]


def look_through(
    store: ModelStore, read: Callable[[FoundFile], Sighting] | None = None
) -> Iterator[Sighting | ModelFault]:
    """Yield what was seen and what is wrong; one bad file never ends the walk.

    A file that several names lead to is read once. `read` turns a file into a sighting without its inode; a
    CatalogueIndex remembers them between runs.
    """
    seen: dict[Inode, Sighting | None] = {}
    for item in store.find():
        if isinstance(item, ModelFault):
            yield item
            continue
        sighting = _look_at(item, read or _read, seen)
        if sighting is not None:
            yield sighting


def scan(
    stores: Iterable[ModelStore], read: Callable[[FoundFile], Sighting] | None = None
) -> Iterator[ModelEntry | ModelFault]:
    """Look through all stores, one after the other, and yield a row for every model, then the faults."""
    models, failed = join(item for store in stores for item in look_through(store, read))
    yield from models
    yield from failed


def _look_at(
    found: FoundFile, read: Callable[[FoundFile], Sighting], seen: dict[Inode, Sighting | None]
) -> Sighting | ModelFault | None:
    """Return what a file is; None for a further name of a file that was reported as broken."""
    try:
        status = os.stat(found.path)  # noqa: PTH116 - as fast as it goes, for every file
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return ModelFault(path=str(found.path), reason=f"The file cannot be opened: {reason}.")
    inode = (status.st_dev, status.st_ino)
    if inode in seen and shard_name(str(found.path)) is None:
        known = seen[inode]
        return _renamed(known, found) if known else None
    seen[inode] = None
    try:
        sighting = _renamed(msgspec.structs.replace(read(found), inode=inode), found)
    except ModelFileError as error:
        reason = " ".join(filter(None, (error.message, error.hint)))
        return ModelFault(path=str(found.path), reason=reason)
    seen[inode] = sighting
    return sighting


def _renamed(sighting: Sighting, found: FoundFile) -> Sighting:
    """Return a sighting as this store tells it."""
    entry = msgspec.structs.replace(
        sighting.entry,
        path=str(found.path) if sighting.entry.shards == 1 else sighting.entry.path,
        name=found.name or sighting.entry.name,
        source=found.source,
    )
    return msgspec.structs.replace(sighting, entry=entry, projectors=found.projectors)


def _read(found: FoundFile) -> Sighting:
    return read_sighting(found.path, found.source)
