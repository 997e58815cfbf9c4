"""The first row: the program, the model and its state on the left, memory on the right."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from kobold_tui.tui.widgets.fit_text import fit

Part = tuple[str, str]
"""Text and the name of the component class that colours it."""


class StatusLine(Widget):
    """One row with a left and a right half; the right one gives way when there is no room."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "status--brand",
        "status--text",
        "status--quiet",
        "status--good",
        "status--busy",
        "status--bad",
    }
    DEFAULT_CSS = """
    StatusLine { height: 1; dock: top; }
    """

    left: reactive[tuple[Part, ...]] = reactive(())
    right: reactive[tuple[Part, ...]] = reactive(())

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        """Draw the row."""
        width = self.size.width
        left, right = _width(self.left), _width(self.right)
        shown = self.right if left + right + 2 <= width else ()
        room = width - (_width(shown) + 1 if shown else 0)
        parts = _cut(self.left, room)
        gap = width - _width(parts) - _width(shown)
        segments = [self._segment(part) for part in parts]
        segments.append(Segment(" " * max(0, gap), self.rich_style))
        segments += [self._segment(part) for part in shown]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _segment(self, part: Part) -> Segment:
        text, name = part
        return Segment(text, self.get_component_rich_style(name))


def _width(parts: tuple[Part, ...]) -> int:
    return sum(cell_len(text) for text, _ in parts)


def _cut(parts: tuple[Part, ...], width: int) -> tuple[Part, ...]:
    kept: list[Part] = []
    for text, name in parts:
        if cell_len(text) > width:
            if width > 0:
                kept.append((fit(text, width), name))
            break
        kept.append((text, name))
        width -= cell_len(text)
    return tuple(kept)
