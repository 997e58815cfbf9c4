"""KoboldCpp's files and the user's presets: importing, opening without importing, and exporting.

A chat template that is made of KoboldCpp's tags is kept as a file named after its content, readable by its
owner alone, because a preset names templates by file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_exchange import ExportOutcome, ImportOutcome
from kobold_tui.domain.preset_file import PresetConflict
from kobold_tui.domain.preset_report import ImportedPreset
from kobold_tui.storage.kcpps.document import SUFFIXES
from kobold_tui.storage.kcpps.exporting import encode, export_preset
from kobold_tui.storage.kcpps.facts import read_facts
from kobold_tui.storage.kcpps.importing import import_file
from kobold_tui.storage.preset_library import PresetLibrary
from kobold_tui.storage.preset_names import check_name, slug
from kobold_tui.storage.toml_file import write_atomically

EXPORT_SUFFIX = ".kcpps"


class PresetExchange:
    """Brings presets from KoboldCpp's files into a library, and back; made templates go into `templates`."""

    def __init__(self, library: PresetLibrary, templates: Path) -> None:
        self._library = library
        self._templates = templates

    def preview(self, path: Path, name: str = "") -> ImportedPreset:
        """Return what a file means, and write nothing. Raises KoboldError."""
        return import_file(path.expanduser(), name)

    def open(self, path: Path) -> Preset:
        """Return the preset of a file, ready to be loaded. Raises KoboldError."""
        return self._with_template(import_file(path.expanduser())).preset

    def import_file(self, path: Path, name: str = "", *, overwrite: bool = False) -> ImportOutcome:
        """Save what a file means among the user's presets, its companions too.

        Raises PresetConflict where a preset of that name exists, unless `overwrite` is set; KoboldError for
        a file that is none of KoboldCpp's.
        """
        if name:
            check_name(name)
        imported = self._with_template(import_file(path.expanduser(), name))
        presets = tuple(
            msgspec.structs.replace(preset, description=f"From KoboldCpp's {path.name}")
            for preset in (imported.preset, *imported.companions)
        )
        if not overwrite:
            self._check_is_free(presets)
        first, *others = [self._library.save(preset, overwrite=overwrite) for preset in presets]
        return ImportOutcome(imported=imported, stored=first, companions=tuple(others))

    def export(self, preset: Preset, to: Path, *, overwrite: bool = False) -> ExportOutcome:
        """Write a preset as KoboldCpp's file, `.kcpps` where `to` has no such ending.

        Raises UsageError where the file exists, unless `overwrite` is set; KoboldError for a preset that
        KoboldCpp cannot run.
        """
        to = to.expanduser()
        path = to if to.suffix.lower() in SUFFIXES else to.with_name(f"{to.name}{EXPORT_SUFFIX}")
        if path.exists() and not overwrite:
            raise UsageError(
                "The file exists", f"{path} exists already.", "Name another one, or overwrite it."
            )
        exported = export_preset(preset, read_facts(preset.model))
        write_atomically(path, encode(exported.document))
        return ExportOutcome(path=path, exported=exported)

    def _check_is_free(self, presets: tuple[Preset, ...]) -> None:
        for preset in presets:
            other = self._library.find(preset.name)
            if other is not None and other.source != "kcpps":
                raise PresetConflict(other.path, ("exists",))

    def _with_template(self, imported: ImportedPreset) -> ImportedPreset:
        """Write the template that was made of tags, where there is one, and name it in the preset."""
        if not imported.template:
            return imported
        digest = hashlib.sha256(imported.template.encode()).hexdigest()[:12]
        path = self._templates / f"{slug(imported.preset.name)[:40]}-{digest}.jinja"
        if not path.exists():
            write_atomically(path, imported.template.encode())
        chat = msgspec.structs.replace(imported.preset.chat, template=str(path))
        return msgspec.structs.replace(imported, preset=msgspec.structs.replace(imported.preset, chat=chat))
