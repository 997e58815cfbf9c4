"""Ten minutes of a figure as an area of braille dots, with a time axis below it.

A cell is two points wide and four high. The graph moves on by whole cells, so that most of the time it costs
nothing to draw: at a width of 34 cells every 18 seconds. A point is the mean of its span of time; a span in
which nothing is known stays empty, while zero is drawn as one dot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from kobold_tui.tui.widgets.cells import Cell

SPAN_SECONDS = 600.0
POINTS_A_CELL = 2
LEVELS_A_CELL = 4
WITH_MIDDLE = 40
"""Columns from which the middle of the axis has a mark of its own."""

_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
_BLANK = 0x2800

Share = float | None
"""A value from 0 to 1; None where it is not known."""


def cell_number(now: float, width: int) -> int:
    """Return the number of the cell of time that `now` (seconds) lies in; a graph changes when it does."""
    return math.floor(now / cell_seconds(width))


def cell_seconds(width: int) -> float:
    """Return how many seconds one of `width` cells stands for."""
    return SPAN_SECONDS / max(1, width)


def points(samples: Iterable[tuple[float, Share]], now: float, width: int) -> tuple[Share, ...]:
    """Return the mean of every point of a graph `width` cells wide, the newest last.

    `samples` are times in seconds and shares. The newest cell is the last one that is over; before the
    first one is, it is the one that has begun.
    """
    step = cell_seconds(width) / POINTS_A_CELL
    known = [(time, share) for time, share in samples if share is not None]
    ended = cell_number(now, width) * POINTS_A_CELL
    is_new = not any(math.floor(time / step) < ended for time, _ in known)
    last = ended + POINTS_A_CELL if is_new else ended
    count = width * POINTS_A_CELL
    sums = [0.0] * count
    numbers = [0] * count
    for time, share in known:
        place = math.floor(time / step) - (last - count)
        if 0 <= place < count:
            sums[place] += share
            numbers[place] += 1
    return tuple(total / n if n else None for total, n in zip(sums, numbers, strict=True))


def area(shares: Sequence[Share], height: int) -> list[str]:
    """Return `height` rows of braille, top to bottom, for two points a cell."""
    levels = [_level(share, height * LEVELS_A_CELL) for share in shares]
    pairs = list(zip(levels[::2], levels[1::2], strict=False))
    return ["".join(_cell(left, right, row) for left, right in pairs) for row in reversed(range(height))]


def axis(label: str, width: int) -> list[Cell]:
    """Return the time axis: ten minutes ago at the left, now at the right, a mark in the middle."""
    line = ["─"] * width
    middle = width >= WITH_MIDDLE
    begin = 7 + (width // 2 - 8 - len(label) - 2) // 2 if middle else 8
    texts = [(0, "10 min "), (width - 4, " now"), *([(width // 2 - 1, " 5 ")] if middle else [])]
    if begin + len(label) + 2 < width - 4:
        texts.append((begin, f" {label} "))
    looks = ["faint"] * width
    for start, text in texts:
        if start >= 0 and start + len(text) <= width:
            line[start : start + len(text)] = text
            looks[start : start + len(text)] = ["quiet"] * len(text)
    runs = groupby(zip(line, looks, strict=True), key=lambda each: each[1])
    return [("".join(character for character, _ in run), look) for look, run in runs]


def _level(share: Share, highest: int) -> int:
    if share is None:
        return 0
    return max(1, min(highest, round(share * highest)))


def _cell(left: int, right: int, row: int) -> str:
    low = row * LEVELS_A_CELL
    dots = _LEFT[max(0, min(LEVELS_A_CELL, left - low))] | _RIGHT[max(0, min(LEVELS_A_CELL, right - low))]
    return chr(_BLANK + dots) if dots else " "
