"""The last row: the keys that work here and now, as many as fit, and always `F1 more`."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App
from textual.binding import Binding
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

MORE = ("F1", "more")


class KeyBar(Widget):
    """Keys with their meaning, taken from the bindings of the focused widget and its ancestors."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--text"}
    DEFAULT_CSS = """
    KeyBar { height: 1; dock: bottom; }
    """

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _screen: Screen[object]) -> None:
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        """Draw the row."""
        key_style = self.get_component_rich_style("keys--key")
        text_style = self.get_component_rich_style("keys--text")
        segments: list[Segment] = []
        for key, text in fitting(shown_keys(self.app, self.screen), self.size.width):
            segments += [Segment(f" {key} ", key_style), Segment(f"{text} ", text_style)]
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)


def shown_keys(app: App[object], screen: Screen[object]) -> list[tuple[str, str]]:
    """Return the keys to show, those of the focused widget first."""
    bindings: list[Binding] = [
        active.binding for active in screen.active_bindings.values() if active.binding.show and active.enabled
    ]
    seen: dict[str, tuple[str, str]] = {}
    for binding in bindings:
        seen.setdefault(binding.action, (app.get_key_display(binding), binding.description))
    return [pair for pair in seen.values() if pair[1]]


def fitting(keys: list[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """Return as many keys as fit into `width` columns, with `F1 more` at the end."""
    left = width - _width(MORE)
    fits: list[tuple[str, str]] = []
    for pair in keys:
        if pair[0] == MORE[0]:
            continue
        left -= _width(pair)
        if left < 0:
            break
        fits.append(pair)
    return [*fits, MORE]


def _width(pair: tuple[str, str]) -> int:
    return cell_len(pair[0]) + cell_len(pair[1]) + 3
