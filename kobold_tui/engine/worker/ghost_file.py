"""Ghosts of models as files in memory, kept while their models do not change on disk."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

import msgspec

from kobold_tui.domain.model import Header
from kobold_tui.gguf.ghost import Ghost, make_ghost
from kobold_tui.gguf.header import read_header

MAX_GHOSTS = 8


class GhostFile(msgspec.Struct, frozen=True, kw_only=True):
    """A ghost that llama.cpp can open by `path`, and the header that it was made from."""

    header: Header
    path: Path
    descriptor: int
    stamps: tuple[tuple[int, int, int], ...]


class GhostFiles:
    """The newest few ghosts; each takes a few dozen kilobytes of memory."""

    def __init__(self) -> None:
        self._ghosts: OrderedDict[Path, GhostFile] = OrderedDict()

    def of(self, model: Path) -> GhostFile:
        """Return the ghost of the model at a path. Raises ModelFileError as the header's reader does."""
        ghost = self._ghosts.pop(model, None)
        if ghost is not None and _stamps(ghost.header.paths) != ghost.stamps:
            os.close(ghost.descriptor)
            ghost = None
        ghost = ghost or _make(model)
        self._ghosts[model] = ghost
        if len(self._ghosts) > MAX_GHOSTS:
            _, oldest = self._ghosts.popitem(last=False)
            os.close(oldest.descriptor)
        return ghost

    def close(self) -> None:
        """Give all memory back."""
        while self._ghosts:
            _, ghost = self._ghosts.popitem()
            os.close(ghost.descriptor)


def _stamps(paths: tuple[str, ...]) -> tuple[tuple[int, int, int], ...]:
    """Return what tells whether files changed: inode, size and time; empty when one is gone."""
    try:
        found = [Path(path).stat() for path in paths]
    except OSError:
        return ()
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)


def _make(model: Path) -> GhostFile:
    header = read_header(model)
    stamps = _stamps(header.paths)
    descriptor = write_ghost(make_ghost(header))
    return GhostFile(header=header, path=path_of(descriptor), descriptor=descriptor, stamps=stamps)


def write_ghost(ghost: Ghost) -> int:
    """Return the descriptor of a new file that holds a ghost."""
    descriptor = _open()
    try:
        view = memoryview(ghost.head)
        while view:
            view = view[os.write(descriptor, view) :]
        os.ftruncate(descriptor, ghost.file_bytes)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def path_of(descriptor: int) -> Path:
    """Return a path by which this process can open the file behind a descriptor."""
    return Path(f"/proc/self/fd/{descriptor}" if sys.platform == "linux" else f"/dev/fd/{descriptor}")


def _open() -> int:
    """Return a file that has no name: in memory where the system can, else on disk."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ghost.gguf", os.MFD_CLOEXEC)
    descriptor, name = tempfile.mkstemp(suffix=".gguf")
    Path(name).unlink()
    return descriptor
