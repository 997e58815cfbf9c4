"""One line to type words that narrow a list down; the list stays usable by its own keys meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FilterLine(Input):
    """Shown while there are words or somebody types; Esc clears and closes it, Enter keeps the words."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear", id="filter.clear", tooltip="Show all rows again"),
        Binding("down", "leave", "List", show=False, id="filter.list", tooltip="To the rows that are left"),
    ]
    DEFAULT_CSS = """
    FilterLine { height: 1; border: none; padding: 0 1; display: none; }
    FilterLine:focus { border: none; display: block; }
    FilterLine.-used { display: block; }
    """

    @dataclass
    class Left(Message):
        """The keys are to go to the list."""

    def __init__(self, placeholder: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(placeholder=placeholder, id=id)
        self.cursor_blink = False

    def watch_value(self, value: str) -> None:
        """Stay in view while there are words."""
        self.set_class(bool(value), "-used")

    def open(self) -> None:
        """Come into view and take the keys."""
        self.add_class("-used")
        self.focus()

    def on_blur(self) -> None:
        """Go out of view without words."""
        self.set_class(bool(self.value), "-used")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the words."""
        event.stop()
        self.post_message(self.Left())

    def action_clear(self) -> None:
        """Forget the words."""
        self.value = ""
        self.post_message(self.Left())

    def action_leave(self) -> None:
        """Keep the words."""
        self.post_message(self.Left())
