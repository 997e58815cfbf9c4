"""A one-row strip of tabs with their keys, without animation; it draws and reports clicks, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget


@dataclass(frozen=True)
class Tab:
    """One tab: the id of what it shows, its title and the key that calls it up."""

    id: str
    title: str
    key: str


class TabStrip(Widget):
    """Tabs side by side; what does not fit is cut at the right edge with a mark."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tab--current", "tab--other", "tab--key"}
    DEFAULT_CSS = """
    TabStrip { height: 1; width: 1fr; }
    """

    current: reactive[str] = reactive("")

    @dataclass
    class Chosen(Message):
        """A tab was clicked."""

        tab: str

    def __init__(self, tabs: tuple[Tab, ...], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._tabs = tabs

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        """Draw the row."""
        quiet = self.get_component_rich_style("tab--key")
        segments: list[Segment] = []
        for tab in self._tabs:
            name = "tab--current" if tab.id == self.current else "tab--other"
            segments.append(Segment(f" {tab.title} ", self.get_component_rich_style(name)))
            segments.append(Segment(f"{tab.key}  ", quiet))
        strip = Strip(segments)
        if strip.cell_length > self.size.width:
            strip = Strip.join([strip.crop(0, max(0, self.size.width - 1)), Strip([Segment("…", quiet)])])
        return strip.adjust_cell_length(self.size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Report the tab under the pointer."""
        x = 0
        for tab in self._tabs:
            x += cell_len(tab.title) + 2 + cell_len(tab.key) + 2
            if event.x < x:
                self.post_message(self.Chosen(tab.id))
                return
