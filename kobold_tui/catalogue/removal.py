"""Deletes models that are plain files of the user's, and says what to use for all others.

Files in the stores of other programs are never touched where deleting them would leave the store damaged:
the cache of huggingface-hub, Ollama's blobs and installed Python packages have commands of their own.
"""

from __future__ import annotations

import importlib.metadata
import os
import stat
from pathlib import Path

from kobold_tui.catalogue.ollama import OLLAMA
from kobold_tui.catalogue.stores import HUGGING_FACE, PYTHON_PACKAGE
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.removal import DoomedFile, Removal
from kobold_tui.gguf.shards import shard_name

_PACKAGE_FOLDERS = ("site-packages", "dist-packages")


def plan_removal(model: ModelEntry) -> Removal:
    """Return what deleting a model would do. Raises KoboldError where it must not be deleted from here."""
    path = Path(model.path)
    if command := _other_program(model, path):
        raise KoboldError("Not deleted", f"{path} belongs to another program.", f"Use: {command}")
    shard = shard_name(model.path)
    names = [shard.sibling(index + 1) for index in range(shard.count)] if shard else [model.path]
    notes: list[str] = []
    files = tuple(_doomed(Path(name), notes) for name in names)
    notes += [f"Stays: the same model in {copy}" for copy in model.copies]
    notes += [f"Stays: its projector {projector}" for projector in model.projectors]
    return Removal(name=model.name, files=files, notes=tuple(dict.fromkeys(notes)))


def carry_out(removal: Removal) -> int:
    """Delete the files and return the bytes freed.

    Raises KoboldError before anything is deleted where a file has changed, and where one cannot be deleted.
    """
    for file in removal.files:
        if _identity(_state(Path(file.path))) != file.identity:
            raise KoboldError(
                "Not deleted",
                f"{file.path} has changed in the meantime.",
                "Look at it again, then delete it.",
            )
    freed = 0
    for file in removal.files:
        try:
            Path(file.path).unlink()
        except OSError as error:
            hint = "Make the folder writable." if not freed else "The parts before it are deleted already."
            raise KoboldError("Not deleted", f"{file.path}: {error.strerror}.", hint) from None
        freed += file.freed_bytes
    return freed


def _doomed(path: Path, notes: list[str]) -> DoomedFile:
    state = _state(path)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise KoboldError(
            "Not deleted",
            f"{path.parent} cannot be written to.",
            "Ask the owner of the folder, or make it writable.",
        )
    freed = state.st_size
    if stat.S_ISLNK(state.st_mode):
        freed = 0
        notes.append(f"Only a link goes; the data stays in {path.resolve()}")
    elif state.st_nlink > 1:
        freed = 0
        notes.append("The data stays: the file system has it under another name too.")
    return DoomedFile(path=str(path), freed_bytes=freed, identity=_identity(state))


def _state(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise KoboldError("Not deleted", f"{path}: {error.strerror}.", "Rescan the models.") from None


def _identity(state: os.stat_result) -> tuple[int, int, int, int]:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _other_program(model: ModelEntry, path: Path) -> str:
    """Return the command that deletes a file of another program's store; empty for a plain file."""
    parts = {*path.parts, *path.resolve().parts}
    repository = next((part for part in path.parts if part.startswith("models--")), "")
    if repository and ("snapshots" in parts or "blobs" in parts):
        return f"hf cache rm model/{repository.removeprefix('models--').replace('--', '/', 1)}"
    if model.source == HUGGING_FACE:
        return "hf cache ls, then hf cache rm"
    if model.source == OLLAMA or any(part.startswith("sha256-") for part in parts):
        names = [name.strip() for name in model.name.split(",")]
        return "ollama rm " + " ".join(names)
    if model.source == PYTHON_PACKAGE or parts.intersection(_PACKAGE_FOLDERS):
        return f"pip uninstall {_distribution(path)}"
    return ""


def _distribution(path: Path) -> str:
    folder = next((part for part in _PACKAGE_FOLDERS if part in path.parts), "")
    inside = path.parts[path.parts.index(folder) + 1 :] if folder else path.parts[-2:]
    names = importlib.metadata.packages_distributions().get(inside[0] if inside else "", [])
    return names[0] if names else (inside[0] if inside else "PACKAGE")
