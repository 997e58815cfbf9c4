"""A document of KoboldCpp as a preset, with a report row for every key.

Nothing of the document is trusted: every value is checked by the declaration of the setting that it becomes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_report import ImportedPreset, KeyReport
from kobold_tui.storage.kcpps.document import Document, read_document
from kobold_tui.storage.kcpps.facts import ModelFacts, read_facts
from kobold_tui.storage.kcpps.import_chat import read_answers, read_template, read_variables
from kobold_tui.storage.kcpps.import_context import (
    read_attention,
    read_memory,
    read_overrides,
    read_rope,
    read_sizes,
)
from kobold_tui.storage.kcpps.import_model import read_attachments, read_embeddings, read_model
from kobold_tui.storage.kcpps.import_placement import read_placement
from kobold_tui.storage.kcpps.import_sampling import read_defaults
from kobold_tui.storage.kcpps.keymap import RULES
from kobold_tui.storage.kcpps.offers import is_address
from kobold_tui.storage.kcpps.reading import Reading
from kobold_tui.storage.toml_file import read_content

FindFacts = Callable[[str], ModelFacts | None]
MAX_ADAPTER_BYTES = 1024 * 1024
_STEPS = (
    read_model,
    read_sizes,
    read_memory,
    read_attention,
    read_rope,
    read_placement,
    read_overrides,
    read_attachments,
    read_answers,
    read_template,
    read_variables,
    read_defaults,
)
_DEFAULT_PORT = 5001


def import_file(path: Path, name: str = "", find_facts: FindFacts = read_facts) -> ImportedPreset:
    """Return what a `.kcpps` or `.kcppt` file means; it is called after the file where no name is given.

    Raises KoboldError, which names the file, where it is none of KoboldCpp's.
    """
    document = read_document(path)
    check_known(document, path)

    def read_near(named: str) -> bytes | None:
        try:
            return read_content(path.parent / Path(named).expanduser(), MAX_ADAPTER_BYTES)
        except (KoboldError, RuntimeError):
            return None

    return import_document(document, name or preset_name(path), find_facts, read_near)


def import_document(
    document: Document,
    name: str,
    find_facts: FindFacts = lambda _: None,
    read_near: Callable[[str], bytes | None] = lambda _: None,
) -> ImportedPreset:
    """Return what a document means, as a preset of this name."""
    reading = Reading(document.values, find_facts(_model_path(document)), read_near)
    for step in _STEPS:
        step(reading)
    embeddings = read_embeddings(reading)
    _read_idle_time(reading)
    _read_port(reading)
    table = {**reading.settings(), "name": name}
    companions: tuple[Preset, ...] = ()
    if reading.flag("nomodel"):
        table.pop("model", None)
    if embeddings is not None and "model" in table:
        other = {**embeddings, "name": f"{name[:180]} embeddings"}
        companions = (msgspec.convert(other, Preset, str_keys=True),)
    elif embeddings is not None:
        table |= {**embeddings, "load": {**table.get("load", {}), **embeddings["load"]}}
    return ImportedPreset(
        preset=msgspec.convert(table, Preset, str_keys=True),
        report=(*reading.report(), *_repeated(document)),
        companions=companions,
        downloads=tuple(reading.downloads),
        template=reading.template,
    )


def check_known(document: Document, path: Path) -> None:
    """Raise KoboldError for an object that has none of KoboldCpp's keys; an empty one is legal."""
    if document.values and not RULES.keys() & document.values.keys():
        raise KoboldError(
            "Not KoboldCpp's file",
            f"{path} has none of KoboldCpp's keys.",
            "Export it again: koboldcpp --exportconfig FILE.",
        )


def preset_name(path: Path) -> str:
    """Return what the preset of a file is called."""
    return path.stem.encode("utf-8", "replace").decode()[:200] or "preset"


def _model_path(document: Document) -> str:
    named: Any = document.values.get("model_param") or document.values.get("model")
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) and not is_address(first) else ""


def _read_idle_time(reading: Reading) -> None:
    seconds = reading.integer("adminunloadtimeout")
    if seconds:
        reading.put("adminunloadtimeout", "memory.idle_unload_seconds", float(seconds))


def _read_port(reading: Reading) -> None:
    port, positional = reading.integer("port"), reading.integer("port_param")
    beats = positional is not None and positional != _DEFAULT_PORT
    counts = positional if beats else port
    note = f"Presets hold no server; {counts} is the port that counts."
    for key, found in (("port", port), ("port_param", positional)):
        if found is not None:
            reading.say(key, "ignored", note)


def _repeated(document: Document) -> tuple[KeyReport, ...]:
    return tuple(
        KeyReport(key=name[:80], value=None, status="ignored", note="Stands twice; the last one counts.")
        for name in document.repeated
    )
