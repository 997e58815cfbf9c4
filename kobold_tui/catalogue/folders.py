"""A walk over folders that survives loops of links, unreadable folders and parts without their first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kobold_tui.domain.model import ModelFault
from kobold_tui.gguf.shards import shard_name

SUFFIX = ".gguf"
MAX_FOLDERS = 50_000


def files_below(folder: Path) -> Iterator[Path | ModelFault]:
    """Yield the .gguf files in and below `folder`, sorted within each folder; files before subfolders."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            if len(seen) > MAX_FOLDERS:
                reason = f"There are more than {MAX_FOLDERS:,} folders below it. Name one that holds models."
                yield ModelFault(path=str(folder), reason=reason)
                return
            files, subfolders = _entries(current)
        except OSError as error:
            yield ModelFault(path=str(current), reason=f"The folder cannot be read: {error.strerror}.")
            continue
        yield from files
        waiting.extend(reversed(subfolders))


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    files, subfolders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_folder(entry):
                subfolders.append(folder / entry.name)
            elif entry.name.lower().endswith(SUFFIX) and not entry.name.startswith("._"):
                files.append(folder / entry.name)
    return sorted(files), sorted(subfolders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def fold_shards(items: Iterable[Path | ModelFault]) -> Iterator[Path | ModelFault]:
    """Give every model once: of several parts the first; a set without its first part is a fault."""
    headless: dict[str, Path] = {}
    given: set[str] = set()
    for item in items:
        shard = None if isinstance(item, ModelFault) else shard_name(str(item))
        if isinstance(item, ModelFault) or shard is None:
            yield item
        elif shard.index == 1:
            given.add(str(item))
            yield item
        elif shard.sibling(1) not in given:
            headless.setdefault(shard.sibling(1), item)
    for first, part in headless.items():
        if first not in given:
            yield ModelFault(path=str(part), reason=f"The first part of the model, {first}, is missing.")
