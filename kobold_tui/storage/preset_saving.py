"""Writes presets so that nothing of a person's is lost unasked: comments, later changes, another preset.

What a file states stays in its order. A preset that extends another states only what differs from that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import ConflictReason, PresetConflict, stated
from kobold_tui.storage.kcpps.document import revision_of
from kobold_tui.storage.preset_text import has_comments, restated
from kobold_tui.storage.presets import OWN_KEYS
from kobold_tui.storage.settings import merge
from kobold_tui.storage.toml_file import Table, convert, dump, parse_table, read_content, write_atomically


def save_preset(
    path: Path, preset: Preset, base: Preset | None = None, *, read_as: str = "", overwrite: bool = False
) -> None:
    """Write a preset into a file; `base` is what it extends, put together with all that that extends.

    `read_as` is the revision of the file as the caller knows it, empty where it is to be a new one. Raises
    PresetConflict where the file holds something else by now, or comments, unless `overwrite` is set;
    KoboldError where it cannot be written or cannot say what the preset says.
    """
    content = read_content(path) if path.exists() else None
    if content is not None and not overwrite and (reasons := conflicts(content, read_as)):
        raise PresetConflict(path, reasons)
    write_atomically(path, _encoded(_table(preset, base, _known(content, path), path), path))


def conflicts(content: bytes, read_as: str) -> tuple[ConflictReason, ...]:
    """Return what would be lost by replacing a file with this content."""
    reasons: list[ConflictReason] = []
    if not read_as:
        reasons.append("exists")
    elif revision_of(content) != read_as:
        reasons.append("changed")
    if has_comments(content.decode("utf-8", "replace")):
        reasons.append("comments")
    return tuple(reasons)


def _known(content: bytes | None, path: Path) -> Table:
    """Return what the file states now; a broken one states nothing that could be kept."""
    try:
        return parse_table(content, path) if content is not None else {}
    except KoboldError:
        return {}


def _table(preset: Preset, base: Preset | None, known: Table, path: Path) -> Table:
    below = stated(base or Preset(name="-"))
    below = {key: value for key, value in below.items() if key not in OWN_KEYS}
    nothing = {"description": "", "extends": ""}
    table = restated(known, stated(preset), {**below, **nothing})
    _check_is_the_same(preset, below, table, path)
    return table


def _check_is_the_same(preset: Preset, below: dict[str, Any], table: Table, path: Path) -> None:
    """Raise KoboldError where a file cannot undo what the base states: a seed, or a key of a free table."""
    merged: Table = {}
    merge(merged, below)
    merge(merged, table)
    if stated(convert(merged, Preset, path)) != stated(preset):
        raise KoboldError(
            "Cannot be saved over its base",
            f"{path}: {preset.extends!r} sets something that {preset.name!r} leaves out.",
            "Remove it there, or save the preset without `extends`.",
        )


def _encoded(table: Table, path: Path) -> bytes:
    try:
        return dump(table).encode()
    except (ValueError, TypeError) as error:
        raise KoboldError(
            "Cannot be saved", f"{path}: a value cannot be written as TOML ({error}).", "Change that value."
        ) from None
