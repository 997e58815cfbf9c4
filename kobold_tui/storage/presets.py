"""Presets as files: one TOML file each, the user's above those that the project ships.

A preset may extend another by name; what it does not say itself it has from there. One that extends its own
name adds to the one that it takes the place of. One broken file never keeps the others from loading.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_check import check_preset
from kobold_tui.domain.preset_file import PresetFile
from kobold_tui.storage.preset_sources import Source, read_folder, read_source
from kobold_tui.storage.settings import merge
from kobold_tui.storage.toml_file import Table, convert

MAX_DEPTH = 16
OWN_KEYS = ("name", "description", "extends")

Shelf = dict[str, list[Source]]
"""All presets by name; of several with one name the last one counts."""


def load_presets(
    folders: Iterable[Path], own: Path | None = None
) -> tuple[tuple[PresetFile, ...], tuple[Failure, ...]]:
    """Read all presets of these folders, the least important folder first; folders may be missing.

    A preset of a later folder takes the place of one with the same name. `own` is the user's own folder.
    Returns the presets sorted by name, and what is wrong with the others.
    """
    failed: list[Failure] = []
    shelf = fill_shelf(folders, failed, own)
    loaded = [
        stored
        for name in sorted(shelf, key=lambda name: (name.casefold(), name))
        for stored in _resolved(shelf[name][-1], shelf, failed)
    ]
    return tuple(loaded), tuple(failed)


def read_preset(path: Path, folders: Iterable[Path], own: Path | None = None) -> PresetFile:
    """Read one file; what it extends is looked for beside it, then in the folders. Raises KoboldError."""
    source = read_source(path, own)
    if not source.table.get("extends"):
        return resolve(source, {})
    failed: list[Failure] = []
    shelf = fill_shelf((*(folder for folder in folders if folder != path.parent), path.parent), failed, own)
    namesakes = [other for other in shelf.get(source.name, []) if other.path != path]
    shelf[source.name] = [*namesakes, source]
    return resolve(source, shelf)


def fill_shelf(folders: Iterable[Path], failed: list[Failure], own: Path | None = None) -> Shelf:
    """Return all presets of the folders by name, those of later folders last."""
    shelf: Shelf = {}
    for folder in dict.fromkeys(folders):
        for source in read_folder(folder, failed, own):
            shelf.setdefault(source.name, []).append(source)
    return shelf


def resolve(source: Source, shelf: Shelf) -> PresetFile:
    """Return a preset with all that it extends. Raises KoboldError, which names the file and the key."""
    preset = convert(with_bases(source, shelf), Preset, source.path)
    check_preset(preset, str(source.path))
    return PresetFile(
        preset=preset,
        path=source.path,
        source=source.origin,
        writable=source.origin in {"user", "folder"} and os.access(source.path.parent, os.W_OK),
        revision=source.revision,
    )


def with_bases(source: Source, shelf: Shelf) -> Table:
    """Return a preset's table laid over those that it extends, the farthest lowest. Raises KoboldError."""
    chain = [source]
    while base := chain[-1].table.get("extends"):
        chain.append(_base(chain, base, shelf))
    merged: Table = {}
    for link in reversed(chain):
        own = link.table
        merge(merged, own if link is source else {key: own[key] for key in own if key not in OWN_KEYS})
    return merged


def _base(chain: list[Source], name: str, shelf: Shelf) -> Source:
    last = chain[-1]
    namesakes = shelf.get(name, [])
    if name == last.name:
        namesakes = namesakes[: _index(last, namesakes)]
        if not namesakes:
            raise _cannot_extend(last, "extends itself, and takes the place of no other preset")
    if not namesakes:
        raise _cannot_extend(last, f"extends {name!r}, which does not exist or is itself broken")
    base = namesakes[-1]
    if any(base is link for link in chain):
        raise _cannot_extend(last, f"extends {name!r}, which in the end extends it")
    if len(chain) > MAX_DEPTH:
        raise _cannot_extend(last, f"is one of more than {MAX_DEPTH} presets that extend each other")
    return base


def _index(source: Source, namesakes: list[Source]) -> int:
    return next((i for i, other in enumerate(namesakes) if other is source), len(namesakes))


def _cannot_extend(source: Source, reason: str) -> KoboldError:
    return KoboldError(
        "Cannot extend", f"{source.path} {reason}.", "Correct the name after `extends`, or mend that preset."
    )


def _resolved(source: Source, shelf: Shelf, failed: list[Failure]) -> Iterator[PresetFile]:
    try:
        yield resolve(source, shelf)
    except KoboldError as error:
        failed.append(error.failure)
