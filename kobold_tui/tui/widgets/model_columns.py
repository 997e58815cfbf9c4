"""The columns of the model list: which of them a width has room for, their titles and their cells.

Name, quantisation, size and the mark that says where a model would fit are never left out. The marks differ
in shape, and their words stand in a column of their own where there is room, else below the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from kobold_tui.domain.model import Kind, ModelEntry, ModelFault
from kobold_tui.domain.size_rule import SizeVerdict
from kobold_tui.domain.units import format_bytes, format_count, format_tokens
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.model_arrangement import Heading, Row, Sort
from kobold_tui.tui.widgets.row_list import Cell

FIT_MARKS: dict[SizeVerdict, Cell] = {
    "gpu": ("●", "row--good"),
    "partly": ("◐", "row--warn"),
    "cpu": ("○", "row--warn"),
    "no": ("✗", "row--bad"),
}
FIT_WORDS: dict[SizeVerdict, str] = {
    "gpu": "on the GPU",
    "partly": "partly on GPU",
    "cpu": "on the CPU",
    "no": "too large",
}
HELPERS: dict[Kind, str] = {
    "projector": "for images",
    "adapter": "adapter",
    "vocabulary": "no weights",
    "unsupported": "unsupported",
}
"""Kinds that no load takes by themselves, with what stands in place of where they fit."""

LEAD = 4
_NAME_LEAST = 20
_LONG_QUANTIZATION, _LONG_FROM = 11, 72
_PROJECTOR_TAG = " +mmproj"


class Column(NamedTuple):
    """A column: what sorts by it, its title and its width with the gap before it; `from_width` shows it."""

    sort: Sort
    title: str
    width: int
    from_width: int
    is_right: bool = True


COLUMNS = (
    Column("quantization", "Quant", 8, 0, is_right=False),
    Column("parameters", "Params", 7, 58),
    Column("size", "Size", 9, 0),
    Column("context", "Context", 8, 66),
    Column("kind", "Kind", 11, 76, is_right=False),
    Column("architecture", "Architecture", 14, 96, is_right=False),
    Column("fit", "Runs here", 15, 112, is_right=False),
)


class Look(NamedTuple):
    """What a row shows beside the model's own facts."""

    state: Cell = (" ", "row--quiet")
    is_favourite: bool = False
    fit: SizeVerdict | None = None


def columns_for(width: int) -> tuple[Column, ...]:
    """Return the columns beside the name; that of the quantisation is wider where there is room."""
    shown = (column for column in COLUMNS if width >= column.from_width)
    long = _LONG_QUANTIZATION if width >= _LONG_FROM else 0
    return tuple(
        column._replace(width=max(column.width, long)) if column.sort == "quantization" else column
        for column in shown
    )


def name_width(width: int) -> int:
    """Return what is left for the name."""
    return max(0, width - LEAD - sum(column.width for column in columns_for(width)))


def titles(width: int, sort: Sort, *, is_reversed: bool) -> list[tuple[str, Sort]]:
    """Return titles, as wide as the list, with the order each stands for; the chosen one has an arrow."""
    arrow = "▲" if is_reversed else "▼"

    def title(text: str, own: Sort) -> str:
        return f"{text}{arrow}" if own == sort else text

    name = title("Name", "name") if sort != "first" else title("Name", "first").replace("Name", "Name ★")
    parts: list[tuple[str, Sort]] = [
        (fit(title("", "fit").rjust(LEAD - 1), LEAD), "fit"),
        (fit(name, name_width(width)), "name"),
    ]
    for column in columns_for(width):
        text = title(column.title, column.sort)
        fitted = fit_right(text, column.width) if column.is_right else " " + fit(text, column.width - 1)
        parts.append((fitted, column.sort))
    return parts


def draw_row(row: Row, look: Look, width: int) -> Sequence[Cell]:
    """Return the cells of any row."""
    match row:
        case Heading():
            return draw_heading(row, width)
        case ModelFault():
            name = PurePath(row.path).name
            reason = width - LEAD - 34
            if reason < _NAME_LEAST:
                return [("  ✗ ", "row--bad"), (fit(name, max(0, width - LEAD)), "row--quiet")]
            return [
                ("  ✗ ", "row--bad"),
                (fit(name, 34), "row--text"),
                (" " + fit(row.reason, reason - 1), "row--quiet"),
            ]
        case ModelEntry():
            return [*_lead(row, look), *_name(row, name_width(width)), *_facts(row, look, width)]


def draw_heading(row: Heading, width: int) -> Sequence[Cell]:
    """Return the cells of a group's title."""
    held = f"{row.count} · {format_bytes(row.n_bytes)} " if row.n_bytes else f"{row.count} "
    title = max(0, width - 2 - len(held))
    return [
        ("▾ " if row.is_open else "▸ ", "row--accent"),
        (fit(row.title, title), "row--head"),
        (fit_right(held, width - 2 - title), "row--quiet"),
    ]


def _lead(model: ModelEntry, look: Look) -> list[Cell]:
    mark: Cell = FIT_MARKS[look.fit] if look.fit else ("·", "row--quiet")
    if model.kind in HELPERS:
        mark = ("+" if model.kind in {"projector", "adapter"} else "–", "row--quiet")
    star: Cell = ("★" if look.is_favourite else " ", "row--warn")
    return [look.state, star, mark, (" ", "row--quiet")]


def _name(model: ModelEntry, width: int) -> list[Cell]:
    tag = _PROJECTOR_TAG if model.projectors and width > len(_PROJECTOR_TAG) + 10 else ""
    return [(fit(model.name, width - len(tag)), "row--text"), (tag, "row--quiet")]


def _facts(model: ModelEntry, look: Look, width: int) -> list[Cell]:
    words = HELPERS.get(model.kind) or (FIT_WORDS[look.fit] if look.fit else "…")
    texts: dict[Sort, tuple[str, str]] = {
        "quantization": (model.quantization, "row--accent"),
        "parameters": (format_count(model.parameters) if model.parameters else "–", "row--quiet"),
        "size": (format_bytes(model.size_bytes), "row--text"),
        "context": (format_tokens(model.n_ctx_train) if model.n_ctx_train else "–", "row--quiet"),
        "kind": (model.kind, "row--quiet"),
        "architecture": (model.architecture, "row--quiet"),
        "fit": (words, FIT_MARKS[look.fit][1] if look.fit and model.kind not in HELPERS else "row--quiet"),
    }
    cells: list[Cell] = []
    for column in columns_for(width):
        text, name = texts[column.sort]
        fitted = fit_right(text, column.width) if column.is_right else " " + fit(text, column.width - 1)
        cells.append((fitted, name))
    return cells
