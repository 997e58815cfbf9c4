"""A line through a few measured points, drawn in Braille dots: a speed over layers, threads or placements.

The scale begins at zero, so that heights compare as speeds do.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from kobold_tui.tui.widgets.fit_text import fit, fit_right

Point = tuple[float, float]

_BLANK = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a Braille character, by row and column."""

_LEAST_WIDTH, _LEAST_HEIGHT = 12, 3


def curve_rows(points: Sequence[Point], width: int, height: int) -> list[str]:
    """Return a picture of `height` lines, `width` characters each; the points must be sorted by their x."""
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    for x, y in _dots(points, columns, rows):
        line, character = (rows - 1 - y) // 4, x // 2
        cells[line][character] |= _DOTS[(rows - 1 - y) % 4][x % 2]
    return ["".join(chr(_BLANK + bits) if bits else " " for bits in line) for line in cells]


def _dots(points: Sequence[Point], columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the dots of the line, counted from the lower left corner."""
    top = max((y for _, y in points), default=0.0)
    if top <= 0 or columns < 1 or rows < 1:
        return
    left, right = points[0][0], points[-1][0]
    reach = right - left or 1.0
    placed = [
        (round((x - left) / reach * (columns - 1)), round(max(y, 0.0) / top * (rows - 1))) for x, y in points
    ]
    yield placed[0]
    for (x0, y0), (x1, y1) in itertools.pairwise(placed):
        steps = max(x1 - x0, abs(y1 - y0), 1)
        for step in range(1, steps + 1):
            yield round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)


class SpeedCurve(Widget):
    """A small chart with its title, its greatest value and the ends of its x axis; blank below two points."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"curve--title", "curve--line", "curve--axis"}
    DEFAULT_CSS = """
    SpeedCurve { height: 7; }
    """

    points: reactive[tuple[Point, ...]] = reactive(())
    axis: reactive[str] = reactive("")

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._title = title

    def render_line(self, y: int) -> Strip:
        """Draw the title, a line of the picture, or the axis."""
        width, height = self.size.width, self.size.height
        text, name = "", "curve--line"
        if len(self.points) > 1 and width >= _LEAST_WIDTH and height >= _LEAST_HEIGHT:
            if y == 0:
                most = max(value for _, value in self.points)
                text, name = f"{self._title}, up to {most:.4g}", "curve--title"
            elif y == height - 1:
                text, name = self._axis_line(width), "curve--axis"
            else:
                text = curve_rows(sorted(self.points), width, height - 2)[y - 1]
        return Strip([Segment(fit(text, width), self.get_component_rich_style(name))], width)

    def _axis_line(self, width: int) -> str:
        ordered = sorted(self.points)
        first = f"{ordered[0][0]:g} {self.axis}"
        return fit(first, width // 2) + fit_right(f"{ordered[-1][0]:g}", width - width // 2)
