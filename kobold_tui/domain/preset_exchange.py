"""What came of importing and exporting a preset: the files, beside what became of every key."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.preset_file import PresetFile
from kobold_tui.domain.preset_report import ExportedPreset, ImportedPreset


class ImportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A file of KoboldCpp that is now a preset of the user's, and presets for its further models."""

    imported: ImportedPreset
    stored: PresetFile
    companions: tuple[PresetFile, ...] = ()


class ExportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A preset that now stands in a file of KoboldCpp."""

    path: Path
    exported: ExportedPreset


class PresetCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was validated; `failure` is None where it is sound, `name` is then its preset's.

    `path` is None where only the failure says which file it is about.
    """

    path: Path | None = None
    name: str = ""
    failure: Failure | None = None
