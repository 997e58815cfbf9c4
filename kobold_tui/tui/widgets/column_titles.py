"""The row of titles above a list: a click on one asks for the order that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

Title = tuple[str, str]
"""Text, as wide as its column, and the name of what it stands for."""


class ColumnTitles(Widget):
    """One row of titles; `titles(width)` returns them, exactly `width` columns in all."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"titles--text", "titles--chosen"}
    DEFAULT_CSS = """
    ColumnTitles { height: 1; }
    """

    @dataclass
    class Chosen(Message):
        """A title was clicked."""

        name: str

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._titles: Sequence[Title] = ()
        self._chosen = ""

    def show(self, titles: Sequence[Title], chosen: str) -> None:
        """Show titles; those of the chosen name stand out."""
        if (titles, chosen) != (self._titles, self._chosen):
            self._titles, self._chosen = titles, chosen
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        """Draw the row."""
        segments = [
            Segment(
                text,
                self.get_component_rich_style("titles--chosen" if name == self._chosen else "titles--text"),
            )
            for text, name in self._titles
        ]
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Report the title under the pointer."""
        x = 0
        for text, name in self._titles:
            x += cell_len(text)
            if event.x < x:
                self.post_message(self.Chosen(name))
                return
