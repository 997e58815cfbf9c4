"""Presets as files: one TOML file each, the user's above those that the project ships.

A preset may extend another by name; what it does not say itself it has from there. One broken file never
keeps the others from loading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.storage.paths import bundled_dir
from kobold_tui.storage.settings import merge
from kobold_tui.storage.toml_file import Table, convert, dump, read_table, write_toml

_OWN_KEYS = ("name", "description", "extends")


class StoredPreset(msgspec.Struct, frozen=True, kw_only=True):
    """A preset with all that it extends, and its file; `bundled` ones came with the program."""

    preset: Preset
    path: Path
    bundled: bool


class _Source(msgspec.Struct, frozen=True):
    path: Path
    table: Table


def load_presets(
    folders: Iterable[Path],
) -> tuple[tuple[StoredPreset, ...], tuple[Failure, ...]]:
    """Read all presets of these folders, the least important folder first; folders may be missing.

    A preset of a later folder takes the place of one with the same name. Returns the presets sorted by
    name, and what is wrong with the others.
    """
    failed: list[Failure] = []
    sources: dict[str, _Source] = {}
    for folder in folders:
        sources |= _read_folder(folder, failed)
    loaded = [
        stored for name in sorted(sources, key=str.casefold) for stored in _resolve(name, sources, failed)
    ]
    return tuple(loaded), tuple(failed)


def save_preset(folder: Path, preset: Preset, *, overwrite_comments: bool = False) -> Path:
    """Write a preset into a folder and return its file; one with the same name is replaced.

    Raises KoboldError where that would lose comments that a person has written, unless told so.
    """
    path = _file_for(folder, preset.name)
    if path.exists() and not overwrite_comments and _has_comments(path):
        raise KoboldError(
            "The preset has comments",
            f"{path} holds comments, which saving would remove.",
            "Save it under another name, or confirm that the comments may go.",
        )
    write_toml(path, preset)
    return path


def _read_folder(folder: Path, failed: list[Failure]) -> dict[str, _Source]:
    found: dict[str, _Source] = {}
    try:
        files = sorted(folder.glob("*.toml"))
    except OSError as error:
        failed.append(Failure(title="Cannot read a folder", message=f"{folder}: {error.strerror}."))
        files = []
    for path in files:
        try:
            table = read_table(path)
            name = convert(table, Preset, path).name
        except KoboldError as error:
            failed.append(error.failure)
            continue
        if name in found:
            failed.append(_namesake(path, name, found[name].path))
        else:
            found[name] = _Source(path, table)
    return found


def _namesake(path: Path, name: str, other: Path) -> Failure:
    return Failure(
        title="Two presets of one name",
        message=f"{path} is called {name!r}, and so is {other}.",
        hint="Give one of them another name.",
    )


def _resolve(name: str, sources: dict[str, _Source], failed: list[Failure]) -> Iterator[StoredPreset]:
    source = sources[name]
    try:
        preset = convert(_with_bases(name, sources), Preset, source.path)
    except KoboldError as error:
        failed.append(error.failure)
        return
    yield StoredPreset(preset=preset, path=source.path, bundled=source.path.parent == bundled_dir("presets"))


def _with_bases(name: str, sources: dict[str, _Source]) -> Table:
    """Return a preset's table laid over those that it extends, the farthest lowest."""
    chain = [name]
    while base := sources[chain[-1]].table.get("extends"):
        if base not in sources:
            raise _cannot_extend(sources[chain[-1]], f"extends {base!r}, which does not exist")
        if base in chain:
            raise _cannot_extend(sources[chain[-1]], f"extends {base!r}, which in the end extends it")
        chain.append(base)
    merged: Table = {}
    for link in reversed(chain):
        own = sources[link].table
        merge(merged, own if link == name else {key: own[key] for key in own if key not in _OWN_KEYS})
    return merged


def _cannot_extend(source: _Source, reason: str) -> KoboldError:
    return KoboldError("Cannot extend", f"{source.path} {reason}.", "Correct the name after `extends`.")


def _file_for(folder: Path, name: str) -> Path:
    """Return the file that holds the preset `name`, else a new one named after it."""
    files = sorted(folder.glob("*.toml"))
    for path in files:
        if _name_in(path) == name:
            return path
    slug = re.sub(r"[^\w.-]+", "-", name.casefold()).strip("-.")[:80] or "preset"
    taken = {path.name for path in files}
    free = (f"{slug}-{number}.toml" for number in range(2, len(files) + 3))
    first = f"{slug}.toml"
    return folder / (first if first not in taken else next(name for name in free if name not in taken))


def _name_in(path: Path) -> object:
    try:
        return read_table(path).get("name")
    except KoboldError:
        return None


def _has_comments(path: Path) -> bool:
    """Whether there are more number signs in the file than its values hold."""
    try:
        table = read_table(path)
        return path.read_text(encoding="utf-8-sig").count("#") > dump(table).count("#")
    except (KoboldError, OSError, ValueError):
        return True
