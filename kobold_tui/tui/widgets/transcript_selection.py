"""Selecting text with the mouse: which cells of a row are marked, and what text the marked rows hold."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.selection import Selection
from textual.strip import Strip

from kobold_tui.tui.widgets.transcript_render import GUTTER_WIDTH


def highlighted(row: Strip, start: int, end: int, style: Style) -> Strip:
    """Return a row with the characters from `start` up to `end` in `style`; -1 is the end of the row."""
    text = row.text
    width = row.cell_length
    first = min(cell_len(text[:start]), width)
    last = width if end < 0 else max(first, min(cell_len(text[:end]), width))
    before, marked, after = row.crop(0, first), row.crop(first, last), row.crop(last, width)
    return Strip.join([before, Strip(Segment.apply_style(marked, post_style=style)), after])


def selected_text(rows: Iterable[tuple[int, Strip | None]], selection: Selection) -> str:
    """Return the text that `selection` covers, without the marks at the left and the blanks at the right."""
    lines: list[str] = []
    for number, row in rows:
        span = selection.get_span(number)
        if span is None or row is None:
            continue
        start, end = span
        text = row.text
        lines.append(text[max(start, GUTTER_WIDTH) : len(text) if end < 0 else end].rstrip())
    return "\n".join(lines)
