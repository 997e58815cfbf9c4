"""Finds preset files: TOML of ours, and KoboldCpp's files, which are read and never written.

Each file is read by itself. A preset may extend another; that is put together in `storage.presets`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import PresetSource
from kobold_tui.storage.kcpps.document import MAX_BYTES as MAX_KCPPS_BYTES
from kobold_tui.storage.kcpps.document import SUFFIXES, parse_document
from kobold_tui.storage.kcpps.importing import check_known, import_document, preset_name
from kobold_tui.storage.paths import bundled_dir
from kobold_tui.storage.toml_file import Table, convert, parse_table, read_content

MAX_FILES = 2000
SUFFIX = ".toml"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file: what it says itself, without what it extends."""

    name: str
    path: Path
    table: Table
    revision: str
    origin: PresetSource


def read_folder(folder: Path, failed: list[Failure], own: Path | None = None) -> list[Source]:
    """Return all presets of a folder by file name; a folder may be missing.

    Two presets of one name are a failure, except that a TOML file takes the place of KoboldCpp's: it was
    imported from that.
    """
    found: dict[str, Source] = {}
    for path in _files(folder, failed):
        try:
            source = read_source(path, own)
        except KoboldError as error:
            failed.append(error.failure)
            continue
        other = found.get(source.name)
        if other is None or (other.origin == "kcpps" and source.origin != "kcpps"):
            found[source.name] = source
        elif source.origin == other.origin or source.origin != "kcpps":
            failed.append(_namesake(path, source.name, other.path))
    return list(found.values())


def read_source(path: Path, own: Path | None = None) -> Source:
    """Return what one file says. Raises KoboldError, which names file and key."""
    if path.suffix.lower() in SUFFIXES:
        return _read_kcpps(path)
    content = read_content(path)
    table = parse_table(content, path)
    return Source(
        name=convert(table, Preset, path).name,
        path=path,
        table=table,
        revision=hashlib.sha256(content).hexdigest(),
        origin=origin_of(path, own),
    )


def origin_of(path: Path, own: Path | None) -> PresetSource:
    """Return whom a file belongs to; `own` is the user's folder."""
    if path.suffix.lower() in SUFFIXES:
        return "kcpps"
    if path.parent == bundled_dir("presets"):
        return "bundled"
    return "user" if own is not None and path.parent == own else "folder"


def is_preset_file(name: str) -> bool:
    """Whether a file of this name is taken for a preset."""
    return name.lower().endswith((SUFFIX, *SUFFIXES)) and not name.startswith(".")


def _read_kcpps(path: Path) -> Source:
    document = parse_document(read_content(path, MAX_KCPPS_BYTES), path)
    check_known(document, path)
    preset = import_document(document, preset_name(path)).preset
    table: Table = msgspec.to_builtins(preset, str_keys=True)
    return Source(name=preset.name, path=path, table=table, revision=document.revision, origin="kcpps")


def _files(folder: Path, failed: list[Failure]) -> list[Path]:
    try:
        names = list(_names(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        failed.append(Failure(title="Cannot read a folder", message=f"{folder}: {error.strerror}."))
        return []
    if len(names) > MAX_FILES:
        failed.append(
            Failure(
                title="Too many files",
                message=f"{folder} holds more than {MAX_FILES} presets; the others are left out.",
                hint="Name a folder that holds presets alone.",
            )
        )
    return [folder / name for name in sorted(names[:MAX_FILES])]


def _names(folder: Path) -> Iterator[str]:
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_preset_file(entry.name) and count <= MAX_FILES:
                count += 1
                yield entry.name


def _namesake(path: Path, name: str, other: Path) -> Failure:
    return Failure(
        title="Two presets of one name",
        message=f"{path} is called {name!r}, and so is {other}.",
        hint="Give one of them another name.",
    )
