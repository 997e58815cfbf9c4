"""Presets as lines for people: what became of every key of a file, and what is wrong with which file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from kobold_tui.cli.output import Column, below_home, cell_width, cut, one_line
from kobold_tui.domain.errors import Failure
from kobold_tui.domain.preset_file import PresetFile
from kobold_tui.domain.preset_report import DownloadOffer, KeyReport, KeyStatus

COLUMNS = (
    Column(title="NAME", flexible=True),
    Column(title="KIND"),
    Column(title="FROM"),
    Column(title="MODEL", flexible=True, keep="end"),
    Column(title="DESCRIPTION", flexible=True),
)
_ORDER: tuple[KeyStatus, ...] = ("refused", "unsupported", "approximated", "mapped", "ignored")
_MEANING: dict[KeyStatus, str] = {
    "refused": "not taken over: unsafe, secret, or no valid value",
    "unsupported": "not taken over: this program does not do it",
    "approximated": "nearly the same",
    "mapped": "the same",
    "ignored": "asks for nothing",
}
_WIDEST_KEY, _WIDEST_VALUE, _NARROWEST_NOTE = 24, 18, 24
_SOURCES = {"bundled": "program", "user": "you", "folder": "folder", "kcpps": "KoboldCpp"}


def row(stored: PresetFile) -> tuple[str, ...]:
    """Return the cells of one preset."""
    preset = stored.preset
    model = preset.endpoint or preset.model or "any model"
    return preset.name, preset.kind, _SOURCES[stored.source], below_home(model), preset.description


def report_lines(report: Sequence[KeyReport], width: int) -> Iterator[str]:
    """Yield the report by status, what needs attention first; unused keys share a paragraph."""
    ranked = sorted(report, key=lambda item: _ORDER.index(item.status))
    key_width = min(_WIDEST_KEY, max((cell_width(item.key) for item in report), default=0))
    for status, items in groupby(ranked, key=lambda item: item.status):
        group = list(items)
        yield f"{status} ({len(group)}): {_MEANING[status]}"
        if status == "ignored":
            yield from _ignored_lines(group, width)
        else:
            for item in group:
                yield from _item_lines(item, key_width, width)
        yield ""


def download_lines(downloads: Sequence[DownloadOffer]) -> Iterator[str]:
    """Yield what the preset needs and where it is to be had; addresses stay whole, to be copied."""
    for offer in downloads:
        yield f"to fetch: {one_line(offer.file_name)}, for {offer.key}"
        yield from (f"  {one_line(url)}" for url in offer.urls)


def failure_line(failure: Failure) -> str:
    """Return what is wrong and what mends it, as one line."""
    return one_line(below_home(f"{failure.title}: {failure.message} {failure.hint}".rstrip()))


def _item_lines(item: KeyReport, key_width: int, width: int) -> Iterator[str]:
    value = "" if item.value is None else msgspec.json.encode(item.value).decode()
    shown = cut(one_line(value), _WIDEST_VALUE)
    head = f"  {_padded(one_line(item.key), key_width)}  {_padded(shown, _WIDEST_VALUE)}  "
    target = f"→ {item.setting}" if item.setting else ""
    words = one_line("; ".join(part for part in (target, item.note) if part))
    notes = _wrapped(words, max(width - cell_width(head), _NARROWEST_NOTE)) or [""]
    yield f"{head}{notes[0]}".rstrip()
    for line in notes[1:]:
        yield f"{' ' * cell_width(head)}{line}"


def _ignored_lines(items: list[KeyReport], width: int) -> Iterator[str]:
    """Yield keys that are ignored for the same reason together."""
    by_note: dict[str, list[str]] = {}
    for item in items:
        by_note.setdefault(item.note, []).append(one_line(item.key))
    for note, keys in sorted(by_note.items(), key=lambda pair: len(pair[1])):
        lines = _wrapped(f"{', '.join(keys)}: {one_line(note)}", width - 4)
        yield from (f"  {'' if i == 0 else '  '}{line}" for i, line in enumerate(lines))


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, break_on_hyphens=False)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_width(text))
