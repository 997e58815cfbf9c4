"""Rows of the download window: repositories, their files, and downloads to go on with."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kobold_tui.domain.hub import HubItem, HubRepo, Unfinished
from kobold_tui.domain.size_rule import FreeMemory, SizeVerdict, judge_size
from kobold_tui.domain.units import format_bytes, format_count
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.row_list import Cell

FITS: dict[SizeVerdict, tuple[str, str, str]] = {
    "gpu": ("●", "row--good", "on the GPU"),
    "partly": ("◐", "row--warn", "partly on the GPU"),
    "cpu": ("○", "row--warn", "on the CPU"),
    "no": ("✗", "row--bad", "too large"),
}
"""Mark, its colour, and the words that say the same."""

_NAME_LEAST = 24
_DATE, _LICENCE, _COUNTS, _ACCESS = 12, 15, 16, 9
_FIT, _QUANTIZATION, _SIZE = 19, 12, 10


def repo_heading(width: int) -> str:
    """Return the titles above repositories."""
    licence, date = _repo_columns(width)
    name = width - 2 - _COUNTS - _ACCESS - licence - date
    titles = fit(" ", 2) + fit("Repository", name) + fit_right("Downloads", 9) + fit_right("Likes", 7)
    titles += "  " + fit("Access", _ACCESS - 2)
    return (
        titles
        + (" " + fit("Licence", licence - 1) if licence else "")
        + (fit("  Updated", date) if date else "")
    )


def draw_repo(repo: HubRepo, width: int) -> Sequence[Cell]:
    """Return the cells of a repository."""
    licence, date = _repo_columns(width)
    name = width - 2 - _COUNTS - _ACCESS - licence - date
    counts = fit_right(format_count(repo.downloads), 9) + fit_right(format_count(repo.likes), 7)
    access = "private" if repo.private else "terms" if repo.gate else ""
    cells = [
        ("  ", "row--text"),
        (fit(repo.id, name), "row--text"),
        (counts, "row--quiet"),
        ("  " + fit(access, _ACCESS - 2), "row--warn"),
    ]
    if licence:
        cells.append((" " + fit(repo.licence, licence - 1), "row--quiet"))
    if date:
        when = time.strftime("%Y-%m-%d", time.gmtime(repo.updated_at)) if repo.updated_at else ""
        cells.append(("  " + fit(when, date - 2), "row--quiet"))
    return cells


def draw_unfinished(begun: Unfinished, width: int) -> Sequence[Cell]:
    """Return the cells of a download that can go on."""
    request = begun.request
    share = begun.done_bytes / request.size_bytes if request.size_bytes else 0.0
    amount = f"{share:.0%} of {format_bytes(request.size_bytes)}"
    name = max(0, min(40, (width - 24) * 3 // 5))
    return [
        ("◐ ", "row--warn"),
        (fit(request.item.name, name), "row--text"),
        (fit_right(amount, 20), "row--accent"),
        ("  " + fit(request.repo, max(0, width - 2 - name - 20 - 2)), "row--quiet"),
    ]


def item_heading(width: int) -> str:
    """Return the titles above files."""
    name = max(0, width - 2 - _QUANTIZATION - _SIZE - 2 - _FIT)
    titles = fit(" ", 2) + fit("Quant", _QUANTIZATION) + fit_right("Size", _SIZE)
    return titles + "  " + fit("Fits here", _FIT) + fit("File", name)


def draw_item(item: HubItem, free: FreeMemory | None, width: int) -> Sequence[Cell]:
    """Return the cells of an item; the mark never speaks alone, words stand beside it."""
    mark, colour, words = _fit_of(item, free)
    name = max(0, width - 2 - _QUANTIZATION - _SIZE - 2 - _FIT)
    extra = f" ×{len(item.files)}" if len(item.files) > 1 else ""
    extra += f", {len(item.missing)} missing" if item.missing else ""
    return [
        (f"{mark} ", colour),
        (fit(item.quantization or "–", _QUANTIZATION), "row--accent"),
        (fit_right(format_bytes(item.size_bytes), _SIZE), "row--text"),
        ("  " + fit(words, _FIT), colour if item.kind == "model" else "row--quiet"),
        (fit(item.name + extra, name), "row--quiet"),
    ]


def _fit_of(item: HubItem, free: FreeMemory | None) -> tuple[str, str, str]:
    if item.kind == "projector":
        return "+", "row--accent", "for images"
    if item.kind == "matrix":
        return " ", "row--quiet", "for quantizing"
    if item.missing:
        return "✗", "row--bad", "incomplete"
    return FITS[judge_size(item.size_bytes, free)] if free else ("?", "row--quiet", "not known")


def _repo_columns(width: int) -> tuple[int, int]:
    """Return the columns for licence and date, 0 for what there is no room for."""
    left = width - 2 - _COUNTS - _ACCESS - _NAME_LEAST
    date = _DATE if left >= _DATE else 0
    return (_LICENCE if left - date >= _LICENCE + 8 else 0), date
