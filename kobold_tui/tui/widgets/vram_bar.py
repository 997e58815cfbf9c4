"""One stacked bar of memory by purpose, shared by the gauge and the tuning pane.

Each purpose has a fill of its own besides its colour, so the bar reads without colours too. Borders between
purposes fall on whole cells; only the end of the used part is drawn to an eighth of a cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.segment import Segment as RichSegment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

InstanceKind = Literal["model", "instance-2", "instance-3", "instance-4"]
"""Kinds for the models that are loaded side by side; the first one is `model`."""

SegmentKind = InstanceKind | Literal["kv", "compute", "overhead", "other", "predicted"]
CellKind = SegmentKind | Literal["free", "reserve", "over"]

FILLS: dict[CellKind, str] = {
    "model": "█",
    "instance-2": "▇",
    "instance-3": "▆",
    "instance-4": "▅",
    "kv": "▓",
    "compute": "▒",
    "overhead": "░",
    "other": "▚",
    "predicted": "▤",
    "free": "·",
    "reserve": "│",
    "over": "»",
}
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Segment:
    """A part of the memory: what it serves, its name for a legend, and its size in bytes."""

    kind: SegmentKind
    label: str
    n_bytes: int


def bar_cells(
    segments: Sequence[Segment], total: int, width: int, reserve_bytes: int = 0
) -> list[tuple[CellKind, str]]:
    """Return the bar as runs of cells, together exactly `width` of them.

    Ends of segments are rounded down to cells from the left, so that more bytes never take fewer cells. What
    does not fit into `total` bytes turns the last cell into a sign. Total and sizes in bytes.
    """
    if width <= 0:
        return []
    runs: list[tuple[CellKind, str]] = []
    done = used = 0
    for segment in segments:
        used += max(0, segment.n_bytes)
        end = min(width, used * width // total) if total > 0 else 0
        if end > done:
            runs.append((segment.kind, FILLS[segment.kind] * (end - done)))
            done = end
    eighths = _eighths_over(used, total, width)
    if done < width and eighths:
        last = next(segment.kind for segment in reversed(segments) if segment.n_bytes > 0)
        runs.append((last, _EIGHTHS[eighths]))
        done += 1
    if done < width:
        runs.append(("free", FILLS["free"] * (width - done)))
    if used > total > 0:
        return _with_sign(runs, width - 1, "over")
    if 0 < reserve_bytes < total:
        return _with_sign(runs, min(width - 1, (total - reserve_bytes) * width // total), "reserve")
    return runs


def legend(segments: Iterable[Segment]) -> list[tuple[SegmentKind, str]]:
    """Return kind and text such as `█ models` for every segment that holds anything."""
    return [
        (segment.kind, f"{FILLS[segment.kind]} {segment.label}")
        for segment in segments
        if segment.n_bytes > 0
    ]


def _eighths_over(used: int, total: int, width: int) -> int:
    """Return how many eighths of the cell after the last whole one are used, 0 to 7."""
    return min(used, total) * width * 8 // total % 8 if total > 0 else 0


def _with_sign(runs: list[tuple[CellKind, str]], cell: int, sign: CellKind) -> list[tuple[CellKind, str]]:
    """Return the runs with one cell replaced by a sign."""
    found: list[tuple[CellKind, str]] = []
    start = 0
    for kind, text in runs:
        offset = cell - start
        start += len(text)
        if 0 <= offset < len(text):
            parts = [(kind, text[:offset]), (sign, FILLS[sign]), (kind, text[offset + 1 :])]
            found.extend((part, cells) for part, cells in parts if cells)
        else:
            found.append((kind, text))
    return found


class VramBar(Widget):
    """A bar of one row; `show` gives it new figures."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"vram-bar--{kind}" for kind in FILLS}
    DEFAULT_CSS = """
    VramBar {
        height: 1;
        width: 1fr;
        & > .vram-bar--model { color: $gauge-model; }
        & > .vram-bar--instance-2 { color: $gauge-instance-2; }
        & > .vram-bar--instance-3 { color: $gauge-instance-3; }
        & > .vram-bar--instance-4 { color: $gauge-instance-4; }
        & > .vram-bar--kv { color: $gauge-kv; }
        & > .vram-bar--compute { color: $gauge-compute; }
        & > .vram-bar--overhead { color: $gauge-overhead; }
        & > .vram-bar--other { color: $gauge-other; }
        & > .vram-bar--predicted { color: $gauge-predicted; }
        & > .vram-bar--free { color: $gauge-free; }
        & > .vram-bar--reserve { color: $gauge-reserve; }
        & > .vram-bar--over { color: $gauge-critical; text-style: bold; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=classes)
        self._segments: tuple[Segment, ...] = ()
        self._total = 0
        self._reserve_bytes = 0

    def show(self, segments: Iterable[Segment], total: int, reserve_bytes: int = 0) -> None:
        """Show other figures, in bytes; a mark stands where the reserve at the end begins."""
        figures = (tuple(segments), total, reserve_bytes)
        if figures != (self._segments, self._total, self._reserve_bytes):
            self._segments, self._total, self._reserve_bytes = figures
            self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Take one row."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Return the bar in its first row, blanks below."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        cells = bar_cells(self._segments, self._total, width, self._reserve_bytes)
        return Strip([RichSegment(text, self._style(kind)) for kind, text in cells], width)

    def _style(self, kind: CellKind) -> Style:
        return self.get_component_rich_style(f"vram-bar--{kind}")
