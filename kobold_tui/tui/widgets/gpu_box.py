"""The columns and the frame that all parts of the gauge share, so that their bars stand in line.

From left to right: a label, a bar, and a block of figures at the right end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.cells import cell_len

from kobold_tui.domain.units import MIB
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line, width_of
from kobold_tui.tui.widgets.fit_text import fit, safe
from kobold_tui.tui.widgets.gpu_figures import coarse_gib
from kobold_tui.tui.widgets.history_graph import Share, area, axis
from kobold_tui.tui.widgets.vram_bar import FILLS, Segment

LABEL, FIGURES = 8, 29
"""Columns of the label and of the figures."""

LINE_FIGURES = 37
"""Columns of the figures where everything stands in one line."""

EDGE = 2
"""Columns of the frame at each side, with the blank inside it."""

LEFT: Cell = ("│ ", "border")
RIGHT: Cell = (" │", "border")
MARGIN: Cell = (" " * EDGE, "text")
GRAPH_GAP = 2
SMALLEST = 50 * MIB
"""Less memory of others has no place in a legend."""

SHORTEST_NAME = 6


def bar_columns(width: int) -> tuple[int, int]:
    """Return where the bar begins and where the figures do, inside of a frame."""
    return LABEL, max(LABEL, width - FIGURES)


def line_columns(width: int) -> tuple[int, int]:
    """Return where bar and figures begin in a list of one line each, inside of its margins."""
    end = max(LABEL, width - LINE_FIGURES)
    return min(max(LABEL, width // 3), 22, end), end


def graph_columns(width: int) -> int:
    """Return the columns of one of the two graphs in a frame of `width` columns."""
    return max(0, (width - 2 * EDGE - GRAPH_GAP) // 2)


@lru_cache(256)
def top(title: Line, state: Line, width: int) -> Line:
    """Return the upper edge with a title at the left and the state at the right."""
    state = fit_line(state, min(width_of(state), width // 2))
    title = fit_line(title, min(width_of(title), max(0, width - 8 - width_of(state))))
    rule = "─" * max(1, width - 7 - width_of(title) - width_of(state))
    edges: tuple[Cell, ...] = (("╭─ ", "border"), *title, (f" {rule} ", "border"), *state, ("─╮", "border"))
    return fit_line(edges, width)


def bottom(width: int) -> Line:
    """Return the lower edge."""
    return (("╰" + "─" * (width - 2) + "╯", "border"),)


def inside(line: Line) -> Line:
    """Return a line between the two sides of a frame, which it fills."""
    return LEFT, *line, RIGHT


def indented(line: Line) -> Line:
    """Return a line between two margins, as wide as those of a frame."""
    return MARGIN, *line, MARGIN


@lru_cache(256)
def legend(segments: tuple[Segment, ...], free_bytes: int | None, width: int) -> Line:
    """Return the names of the parts with their sizes in GiB, then what is free; long names are cut alike."""
    parts = [part for part in segments if part.n_bytes >= (SMALLEST if part.kind == "other" else 1)]
    sizes = [f" {coarse_gib(part.n_bytes)}   " for part in parts]
    free = f"{coarse_gib(free_bytes)} free" if free_bytes is not None else ""
    room = width - len(free) - sum(len(size) + 2 for size in sizes)
    names = _cut_alike([safe(part.label) for part in parts], room)
    cells: list[Cell] = []
    for part, name, size in zip(parts, names, sizes, strict=True):
        cells += [(f"{FILLS[part.kind]} ", part.kind), (name, "text"), (size, "quiet")]
    return fit_line([*cells, (free, "quiet")], width)


def _cut_alike(names: list[str], room: int) -> list[str]:
    """Return names that together take `room` columns at most, the longest cut first."""
    most = max(map(cell_len, names), default=0)
    while most > SHORTEST_NAME and sum(min(cell_len(name), most) for name in names) > room:
        most -= 1
    return [name if cell_len(name) <= most else fit(name, most) for name in names]


def graphs(load: Sequence[Share], memory: Sequence[Share], width: int, height: int) -> list[Line]:
    """Return the two histories side by side, each with its time axis below."""
    each = (width - GRAPH_GAP) // 2
    gap: Cell = (" " * (width - 2 * each), "text")
    rows = zip(_area(load, each, height), _area(memory, each, height), strict=True)
    lines: list[Line] = [((one, "history-load"), gap, (other, "history-memory")) for one, other in rows]
    return [*lines, (*axis("load", each), gap, *axis("memory", each))]


def _area(shares: Sequence[Share], width: int, height: int) -> list[str]:
    return area(shares, height) if len(shares) == 2 * width else [" " * width] * height
