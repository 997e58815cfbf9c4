"""All presets of a running program: listing, saving, renaming, deleting, and KoboldCpp's files.

Every call reads the folders anew, so that what a person changes by hand counts at once. New presets go into
the user's own folder; what came with the program, and KoboldCpp's files, are never written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import Failure, KoboldError, UsageError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_check import check_preset
from kobold_tui.domain.preset_file import DeletedPreset, PresetConflict, PresetFile, PresetList
from kobold_tui.storage.kcpps.document import SUFFIXES
from kobold_tui.storage.preset_names import check_name, free_file_name, free_name, slug
from kobold_tui.storage.preset_saving import save_preset
from kobold_tui.storage.preset_sources import SUFFIX, is_preset_file
from kobold_tui.storage.preset_text import renamed
from kobold_tui.storage.preset_trash import move_to_trash, take_back
from kobold_tui.storage.presets import fill_shelf, load_presets, read_preset, resolve
from kobold_tui.storage.toml_file import read_content, write_atomically

Stamp = tuple[tuple[str, int, int, int], ...]


class PresetLibrary:
    """The presets of some folders, the least important first; `own` is where new ones go."""

    def __init__(self, folders: Sequence[Path], own: Path, trash: Path) -> None:
        self._folders = tuple(folders)
        self._own = own
        self._trash = trash

    def list(self) -> PresetList:
        """Return all presets, and what is wrong with the files that are none."""
        loaded, failed = load_presets(self._folders, self._own)
        return PresetList(presets=loaded, failed=failed)

    def read(self, reference: str) -> PresetFile:
        """Return the preset of that name, whatever its capitals, or of that file. Raises KoboldError."""
        if is_file(reference):
            return read_preset(Path(reference).expanduser().absolute(), self._folders, self._own)
        found = self.find(reference)
        if found is None:
            raise self._unknown(reference)
        return found

    def find(self, name: str) -> PresetFile | None:
        """Return the preset of that name, exactly or else whatever its capitals; None without any."""
        presets = self.list().presets
        exact = [stored for stored in presets if stored.preset.name == name]
        close = [stored for stored in presets if stored.preset.name.casefold() == name.casefold()]
        return next(iter(exact or close), None)

    def stamp(self) -> Stamp:
        """Return what changes whenever a preset file is added, changed or removed."""
        files = []
        for folder in self._folders:
            for path in sorted(folder / name for name in _names_in(folder) if is_preset_file(name)):
                with contextlib.suppress(OSError):
                    stat = path.stat()
                    files.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(files)

    def save(self, preset: Preset, known: PresetFile | None = None, *, overwrite: bool = False) -> PresetFile:
        """Write a preset and return it as it is stored now.

        `known` is the file that it was read from, where it takes that one's place. Raises PresetConflict
        where that would lose something, unless `overwrite` is set; KoboldError where it cannot be written.
        """
        path, read_as = self._place(preset, known)
        check_name(preset.name)
        check_preset(preset, str(path))
        base = self._base(preset, path)
        save_preset(path, preset, base, read_as=read_as, overwrite=overwrite)
        return read_preset(path, self._folders, self._own)

    def save_copy(self, preset: Preset, name: str = "") -> PresetFile:
        """Write a preset under a name that is free: `name`, else its own with "copy" behind it."""
        taken = [stored.preset.name for stored in self.list().presets]
        wanted = name or preset.name
        if wanted.casefold() in {other.casefold() for other in taken}:
            wanted = free_name(wanted, taken)
        return self.save(msgspec.structs.replace(preset, name=wanted))

    def rename(self, name: str, new_name: str) -> PresetFile:
        """Give a preset another name, and its file too where that is called after it; comments stay.

        Raises PresetConflict where the name is taken, KoboldError where others extend it or it cannot be
        written.
        """
        check_name(new_name)
        stored = self._writable(name)
        other = self.find(new_name)
        if other is not None and other.path != stored.path:
            raise PresetConflict(other.path, ("exists",))
        self._check_is_no_base(stored)
        text = renamed(read_content(stored.path).decode("utf-8-sig"), new_name)
        if text is None:
            raise KoboldError(
                "Cannot rename", f"{stored.path}: its name stands in no line of its own.", _MEND
            )
        path = stored.path
        if path.name == f"{slug(stored.preset.name)}{SUFFIX}":
            path = path.with_name(free_file_name(new_name, _names_in(path.parent) - {path.name}))
        write_atomically(path, text.encode())
        if path != stored.path:
            stored.path.unlink(missing_ok=True)
        return read_preset(path, self._folders, self._own)

    def delete(self, name: str) -> DeletedPreset:
        """Move a preset's file away and return what takes it back. Raises KoboldError."""
        stored = self._writable(name)
        self._check_is_no_base(stored)
        return move_to_trash(self._trash, stored.path, stored.preset.name)

    def undelete(self, deleted: DeletedPreset) -> PresetFile:
        """Take a deletion back, byte by byte. Raises PresetConflict where another file stands there."""
        take_back(deleted)
        return read_preset(deleted.path, self._folders, self._own)

    def _place(self, preset: Preset, known: PresetFile | None) -> tuple[Path, str]:
        """Return the file that a preset goes into, and the revision that may be replaced there."""
        if known is not None and known.writable and known.preset.name == preset.name:
            return known.path, known.revision
        same = [stored for stored in self._in_own_folder() if stored.preset.name == preset.name]
        if same:
            return same[0].path, ""
        return self._own / free_file_name(preset.name, _names_in(self._own)), ""

    def _in_own_folder(self) -> tuple[PresetFile, ...]:
        return tuple(stored for stored in self.list().presets if stored.source == "user")

    def _base(self, preset: Preset, path: Path) -> Preset | None:
        """Return what a preset extends, as it would be read from `path`. Raises KoboldError."""
        if not preset.extends:
            return None
        failed: list[Failure] = []
        shelf = fill_shelf(self._folders, failed, self._own)
        sources = [source for source in shelf.get(preset.extends, []) if source.path != path]
        if not sources:
            raise KoboldError(
                "Cannot extend",
                f"{preset.name!r} extends {preset.extends!r}, which does not exist or is itself broken.",
                "Correct the name after `extends`, or mend that preset.",
            )
        return resolve(sources[-1], shelf).preset

    def _writable(self, name: str) -> PresetFile:
        stored = self.find(name)
        if stored is None:
            raise self._unknown(name)
        if not stored.writable:
            raise KoboldError(
                "Cannot be changed",
                f"{stored.path} {_WHY_NOT.get(stored.source, 'is in a folder that is not writable')}.",
                "Save a copy of it under another name, and change that.",
            )
        return stored

    def _check_is_no_base(self, stored: PresetFile) -> None:
        """Raise KoboldError where other presets extend this one."""
        name = stored.preset.name
        others = [
            other.preset.name
            for other in self.list().presets
            if other.preset.extends == name and other.path != stored.path
        ]
        if others:
            raise KoboldError(
                "Other presets need it",
                f"{', '.join(map(repr, others[:5]))} {'extends' if len(others) == 1 else 'extend'} {name!r}.",
                "Change them first.",
            )

    def _unknown(self, name: str) -> UsageError:
        import difflib

        names = [stored.preset.name for stored in self.list().presets]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(near)}?" if near else f"There are: {', '.join(names[:12])}."
        return UsageError("Unknown preset", f"No preset is called {name!r}.", hint)


_WHY_NOT = {"bundled": "came with the program", "kcpps": "is a file of KoboldCpp, which is never written"}
_MEND = "Change the name in the file by hand."


def is_file(reference: str) -> bool:
    """Whether a reference names a file rather than a preset."""
    return reference.lower().endswith((SUFFIX, *SUFFIXES))


def _names_in(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()
