"""What became of every key when a preset came from KoboldCpp's file, or went into one."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kobold_tui.domain.preset import Preset

KeyStatus = Literal["mapped", "approximated", "ignored", "unsupported", "refused"]
"""mapped: means the same here; approximated: nearly the same; ignored: asks for nothing here;
unsupported: asks for what this program does not do; refused: unsafe, secret, or not a valid value."""

MASK = "•••"
"""Stands in a report where a secret stood."""


class KeyReport(msgspec.Struct, frozen=True, kw_only=True):
    """One key: its value (shortened, secrets masked), what became of it and why.

    `setting` is the preset's own key that it became or came from, such as `load.n_ctx`.
    """

    key: str
    value: Any
    status: KeyStatus
    note: str = ""
    setting: str = ""


class DownloadOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the preset needs and that KoboldCpp would fetch; nothing is fetched unasked.

    `key` is the key of the file that names it, `urls` are all parts in order, `file_name` is the first of
    them as it will lie on disk.
    """

    key: str
    urls: tuple[str, ...]
    file_name: str


class ImportedPreset(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of KoboldCpp means here.

    `companions` are presets for the further models that it names, such as one for embeddings. `template` is
    the text of a chat template that was made from KoboldCpp's tags; empty where it needs none.
    """

    preset: Preset
    report: tuple[KeyReport, ...]
    companions: tuple[Preset, ...] = ()
    downloads: tuple[DownloadOffer, ...] = ()
    template: str = ""


class ExportedPreset(msgspec.Struct, frozen=True, kw_only=True):
    """A preset as KoboldCpp's document, and what could not be said there, by our keys."""

    document: dict[str, Any]
    report: tuple[KeyReport, ...]
