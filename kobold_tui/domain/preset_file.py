"""A preset with its file, what two presets differ in, and why a file is not overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.preset import Preset

PresetSource = Literal["bundled", "user", "folder", "kcpps"]
"""Who a preset comes from: the program, this user, a folder that was named, or a file of KoboldCpp."""

ConflictReason = Literal["comments", "changed", "exists", "read only"]

_IN_WORDS: dict[ConflictReason, str] = {
    "comments": "has comments, which saving would remove",
    "changed": "was changed on disk since it was read",
    "exists": "holds a preset of that name already",
    "read only": "cannot be written",
}


class PresetFile(msgspec.Struct, frozen=True, kw_only=True):
    """A preset with all that it extends, and where it stands.

    `revision` stands for the content of the file as it was read; `writable` is whether a save may replace it.
    """

    preset: Preset
    path: Path
    source: PresetSource
    writable: bool
    revision: str

    @property
    def bundled(self) -> bool:
        """Whether it came with the program."""
        return self.source == "bundled"


class PresetList(msgspec.Struct, frozen=True, kw_only=True):
    """All presets, sorted by name, and what is wrong with the files that are none."""

    presets: tuple[PresetFile, ...] = ()
    failed: tuple[Failure, ...] = ()


class KeyDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A dotted key, such as `load.n_ctx`, with what two presets say; None is "not set"."""

    key: str
    left: Any
    right: Any


class DeletedPreset(msgspec.Struct, frozen=True, kw_only=True):
    """A preset whose file was moved away, and to where: all that is needed to take it back."""

    name: str
    path: Path
    trashed: Path


class PresetConflict(KoboldError):  # noqa: N818 - it is a question to a person rather than an error
    """Saving would lose something; the caller asks, then repeats with `overwrite=True` or saves a copy."""

    def __init__(self, path: Path, reasons: tuple[ConflictReason, ...]) -> None:
        words = ", and ".join(_IN_WORDS[reason] for reason in reasons)
        super().__init__(
            "The preset would lose something",
            f"{path} {words}.",
            "Save it under another name, or confirm that the file may be replaced.",
        )
        self.path = path
        self.reasons = reasons


def differences(left: Preset, right: Preset) -> tuple[KeyDifference, ...]:
    """Return the keys in which two presets differ, in the order of their declaration."""
    ours, theirs = dict(leaves(stated(left))), dict(leaves(stated(right)))
    return tuple(
        KeyDifference(key=key, left=ours.get(key), right=theirs.get(key))
        for key in dict.fromkeys((*ours, *theirs))
        if ours.get(key) != theirs.get(key)
    )


def stated(value: msgspec.Struct) -> dict[str, Any]:
    """Return a struct as a table that states every key, defaults too; what is None is left out."""
    table: dict[str, Any] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if isinstance(field, msgspec.Struct):
            table[name] = stated(field)
        elif field is not None:
            table[name] = msgspec.to_builtins(field, str_keys=True)
    return table


def leaves(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a table by dotted key."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
