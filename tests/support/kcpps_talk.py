"""Documents of KoboldCpp for tests: the real files, the table of keys, and short ways to import values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_report import ImportedPreset, KeyReport
from kobold_tui.storage.kcpps.document import Document
from kobold_tui.storage.kcpps.facts import ModelFacts
from kobold_tui.storage.kcpps.importing import import_document

DATA = Path(__file__).resolve().parents[1] / "data" / "kcpps"
FILES = sorted(path for path in DATA.iterdir() if path.suffix in {".kcpps", ".kcppt"})


def key_rows() -> dict[str, dict[str, str]]:
    """Return what is known of every key: status, type, default and legal values, in words."""
    return {row["key"]: row for row in json.loads((DATA / "keymap.json").read_text("utf-8"))}


def imported(values: dict[str, Any], facts: ModelFacts | None = None) -> ImportedPreset:
    """Return what a document means."""
    return import_document(Document(values=values), "test", lambda _: facts)


def meaning(**values: Any) -> Preset:
    """Return the preset of a document with these keys."""
    return imported(values).preset


def rows(found: ImportedPreset) -> dict[str, KeyReport]:
    """Return the report by key."""
    return {row.key: row for row in found.report}


def fate(key: str, value: Any, **others: Any) -> KeyReport:
    """Return what becomes of one key beside others."""
    return rows(imported({key: value, **others}))[key]
