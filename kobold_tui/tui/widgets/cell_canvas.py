"""Shows lines of cells and writes to the terminal only what has changed since the last time.

Textual writes a changed line from the left edge of its widget to the last changed column. So the canvas is
cut into a few upright slices, each a widget of its own: whatever changes, at most the rest of its slice is
written with it. More slices save output and cost time, because Textual visits every widget that the changed
region of the screen touches. Where the cuts are best is known to those who lay the lines out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from kobold_tui.tui.widgets.cells import Line, end_of_change, split_line

LOOKS = (
    *("text", "strong", "quiet", "faint", "title", "border", "warn", "bad", "ours", "load", "idle"),
    *("model", "instance-2", "instance-3", "instance-4", "kv", "compute", "overhead", "other", "predicted"),
    *("free", "reserve", "over", "history-load", "history-memory", "stale", "cursor", "blurred"),
)


class Slice(Widget):
    """A few columns of a canvas."""

    DEFAULT_CSS = """
    Slice { height: 1; }
    """

    def __init__(self, canvas: CellCanvas) -> None:
        super().__init__()
        self._canvas = canvas
        self._pieces: list[Line] = []

    def show_line(self, y: int, piece: Line) -> None:
        """Show another line and mark what differs as to be written."""
        while len(self._pieces) <= y:
            self._pieces.append(())
        before = self._pieces[y]
        if before != piece:
            self._pieces[y] = piece
            self.refresh(Region(0, y, end_of_change(before, piece) if before else self.size.width, 1))

    def cut_off(self, height: int) -> None:
        """Forget the lines from `height` on."""
        del self._pieces[height:]

    def forget(self) -> None:
        """Begin anew with other columns."""
        self._pieces = []
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        width = self.size.width
        if y >= len(self._pieces):
            return Strip.blank(width, self.rich_style)
        runs = groupby(self._pieces[y], key=lambda cell: cell[1])  # each segment costs its colours anew
        segments = [Segment("".join(text for text, _ in run), self._canvas.look(name)) for name, run in runs]
        return Strip(segments, width)


class CellCanvas(Widget):
    """Lines of one width; `show` gives it all of them anew, and it finds out what is different.

    It is as high as its lines; one that is given another height scrolls where `overflow-y` lets it.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"cells--{name}" for name in LOOKS}
    DEFAULT_CSS = """
    CellCanvas {
        layout: horizontal;
        height: auto;
        width: 1fr;
        overflow: hidden hidden;
        scrollbar-size: 1 1;
        visibility: hidden;
        & > Slice { visibility: visible; }
        & > .cells--text { color: $foreground; }
        & > .cells--strong { color: $foreground; text-style: bold; }
        & > .cells--quiet { color: $quiet; }
        & > .cells--faint { color: $faint; }
        & > .cells--title { color: $foreground; text-style: bold; }
        & > .cells--border { color: $card-border; }
        & > .cells--warn { color: $gauge-warn; }
        & > .cells--bad { color: $gauge-critical; }
        & > .cells--ours { color: $gauge-model; }
        & > .cells--load { color: $gauge-load; }
        & > .cells--idle { color: $quiet; }
        & > .cells--model { color: $gauge-model; }
        & > .cells--instance-2 { color: $gauge-instance-2; }
        & > .cells--instance-3 { color: $gauge-instance-3; }
        & > .cells--instance-4 { color: $gauge-instance-4; }
        & > .cells--kv { color: $gauge-kv; }
        & > .cells--compute { color: $gauge-compute; }
        & > .cells--overhead { color: $gauge-overhead; }
        & > .cells--other { color: $gauge-other; }
        & > .cells--predicted { color: $gauge-predicted; }
        & > .cells--free { color: $gauge-free; }
        & > .cells--reserve { color: $gauge-reserve; }
        & > .cells--over { color: $gauge-critical; text-style: bold; }
        & > .cells--history-load { color: $gauge-load; }
        & > .cells--history-memory { color: $gauge-model; }
        & > .cells--stale { color: $card-stale; }
        & > .cells--cursor { background: $primary-muted; }
        & > .cells--blurred { background: $surface; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=classes)
        self._widths: tuple[int, ...] = ()
        self._lines: list[Line] = []
        self._slices: list[Slice] = []
        self._looks: dict[str, Style] = {}

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown."""
        return tuple(self._lines)

    @property
    def text(self) -> str:
        """What is shown, without colours."""
        return "\n".join("".join(text for text, _ in line) for line in self._lines)

    def show(self, lines: Sequence[Line], cuts: Sequence[int], width: int) -> None:
        """Show `lines`, each `width` columns wide; `cuts` are the columns where slices begin."""
        self._cut(_widths(cuts, width))
        if len(lines) != len(self._lines):
            for each in self._slices:
                each.cut_off(len(lines))
                each.styles.height = len(lines)
            del self._lines[len(lines) :]
        for y, line in enumerate(lines):
            if y < len(self._lines) and self._lines[y] == line:
                continue
            self._lines[y : y + 1] = [line]
            for each, piece in zip(self._slices, split_line(line, self._widths), strict=True):
                each.show_line(y, piece)

    def look(self, name: str) -> Style:
        """Return the style of a look; those joined by `+` lie on top of each other."""
        if name not in self._looks:
            first, *more = name.split("+")
            style = self.get_component_rich_style(f"cells--{first}")
            for each in more:
                over = self.get_component_rich_style(f"cells--{each}")
                style += Style(bgcolor=over.bgcolor, bold=over.bold or style.bold)
            self._looks[name] = style
        return self._looks[name]

    def notify_style_update(self) -> None:
        """Draw everything anew in other colours."""
        super().notify_style_update()
        self._looks.clear()
        for each in self._slices:
            each.refresh()

    def _cut(self, widths: tuple[int, ...]) -> None:
        if widths == self._widths:
            return
        self._widths = widths
        self._lines = []
        surplus = self._slices[len(widths) :]
        fresh = [Slice(self) for _ in widths[len(self._slices) :]]
        self._slices = [*self._slices[: len(widths)], *fresh]
        for each, width in zip(self._slices, widths, strict=True):
            each.styles.width = width
            each.forget()
        for each in surplus:
            each.remove()
        if fresh:
            self.mount_all(fresh)


def _widths(cuts: Sequence[int], width: int) -> tuple[int, ...]:
    inner = sorted({cut for cut in cuts if 0 < cut < width})
    edges = [0, *inner, width]
    return tuple(right - left for left, right in pairwise(edges) if right > left)
