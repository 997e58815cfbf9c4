"""Deleted presets: their files are moved, not erased, so that a deletion can be taken back byte by byte."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.preset_file import ConflictReason, DeletedPreset, PresetConflict
from kobold_tui.storage.paths import make_private_folder

MAX_KEPT = 50


def move_to_trash(trash: Path, path: Path, name: str) -> DeletedPreset:
    """Move a file into the trash folder, of which the oldest files go. Raises KoboldError."""
    trashed = trash / f"{time.time_ns()}-{path.name}"
    try:
        make_private_folder(trash)
        _move(path, trashed)
    except OSError as error:
        raise _cannot(path, error) from None
    for old in sorted(trash.iterdir())[:-MAX_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return DeletedPreset(name=name, path=path, trashed=trashed)


def take_back(deleted: DeletedPreset) -> None:
    """Move a file back to where it was.

    Raises PresetConflict where another file stands there by now, KoboldError where it cannot be moved.
    """
    if deleted.path.exists():
        reasons: tuple[ConflictReason, ...] = ("exists",)
        raise PresetConflict(deleted.path, reasons)
    try:
        make_private_folder(deleted.path.parent)
        _move(deleted.trashed, deleted.path)
    except OSError as error:
        raise _cannot(deleted.path, error) from None


def _move(path: Path, to: Path) -> None:
    """Rename a file; to another file system it is copied whole before the old one goes."""
    try:
        path.rename(to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        half = to.with_name(f".{to.name}.{os.getpid()}.tmp")
        shutil.copy2(path, half)
        half.replace(to)
        path.unlink()


def _cannot(path: Path, error: OSError) -> KoboldError:
    return KoboldError(
        "Cannot move a preset",
        f"{path}: {error.strerror}. Nothing was deleted.",
        "Make the folder writable, or free some space.",
    )
