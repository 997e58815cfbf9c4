"""The line that says which hardware is planned for; typing another one plans for that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from kobold_tui.tui.widgets.slider import LABEL

PLACEHOLDER = "this machine; 24G,24G plans for two cards, none for no card"


class HardwareLine(Horizontal):
    """A label and a line of text; Enter plans for what it says, Esc for this machine."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape", "this_machine", "This machine", id="tune.this-machine", tooltip="Plan for this machine"
        ),
    ]
    DEFAULT_CSS = f"""
    HardwareLine {{ height: 1; }}
    HardwareLine Label {{ width: {LABEL + 1}; color: $quiet; }}
    HardwareLine Input {{ width: 1fr; height: 1; border: none; padding: 0 1; background: $panel; }}
    HardwareLine Input:focus {{ border: none; }}
    HardwareLine:focus-within Label {{ color: $accent; text-style: bold; }}
    """

    @dataclass
    class Entered(Message):
        """Somebody wants to plan for these cards; an empty text means this machine."""

        text: str

    @dataclass
    class Left(Message):
        """The keys are to go back."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = ""
        self._input = Input(placeholder=PLACEHOLDER, max_length=200)

    def compose(self) -> ComposeResult:
        """Lay out label and line."""
        yield Label("Plan for")
        yield self._input

    def show(self, text: str) -> None:
        """Show what is planned for, unless somebody types."""
        if text != self._shown:
            self._shown = text
            if not self._input.has_focus:
                self._input.value = text

    def open(self) -> None:
        """Take the keys."""
        self._input.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Plan for what is typed."""
        event.stop()
        self.post_message(self.Entered(event.value))
        self.post_message(self.Left())

    def action_this_machine(self) -> None:
        """Plan for this machine again."""
        self._input.value = ""
        self.post_message(self.Entered(""))
        self.post_message(self.Left())
