"""A row of words, one of which is chosen; it stands in brackets, so that it shows without colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from kobold_tui.tui.widgets.fit_text import fit
from kobold_tui.tui.widgets.slider import LABEL

MORE_LEFT, MORE_RIGHT = "‹", "›"


class ChoiceStrip(Widget, can_focus=True):
    """One row; `choices` are words, and the word itself is the value."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Before", show=False, id="choice.before", tooltip="The choice before"),
        Binding(
            "right,space", "step(1)", "Next", show=False, id="choice.next", tooltip="The choice after it"
        ),
        Binding("home", "end(0)", "First", show=False, id="choice.first", tooltip="The first choice"),
        Binding("end", "end(1)", "Last", show=False, id="choice.last", tooltip="The last choice"),
        Binding("a", "auto", "Auto", show=False, id="choice.auto", tooltip="Leave the choice to the program"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"choice--label", "choice--chosen", "choice--other"}
    DEFAULT_CSS = """
    ChoiceStrip {
        height: 1;
        width: 1fr;
        & > .choice--label { color: $quiet; }
        & > .choice--chosen { color: $primary; text-style: bold; }
        & > .choice--other { color: $quiet; }
        &:focus > .choice--label { color: $accent; text-style: bold; }
        &:focus > .choice--chosen { color: $accent; text-style: bold; }
        &:disabled > .choice--chosen { color: $faint; }
        &:disabled > .choice--other { color: $faint; }
        &:disabled > .choice--label { color: $faint; }
    }
    """

    @dataclass
    class Changed(Message):
        """Another word is chosen."""

        strip: ChoiceStrip
        value: str

        def can_replace(self, message: Message) -> bool:
            """Drop older ones of the same strip that have not been handled."""
            return isinstance(message, ChoiceStrip.Changed) and message.strip is self.strip

    def __init__(self, label: str, choices: Sequence[str], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.label = label
        self._choices = tuple(choices)
        self._value = self._choices[0]

    @property
    def value(self) -> str:
        """What is chosen."""
        return self._value

    @property
    def text(self) -> str:
        """The row without colours."""
        return self.render_line(0).text

    def show(self, value: str, choices: Sequence[str] | None = None) -> None:
        """Take over a choice from outside, without a message; one that is not among the words joins them."""
        words = self._choices if choices is None else tuple(choices)
        words = words if value in words else (*words, value)
        if (value, words) != (self._value, self._choices):
            self._value, self._choices = value, words
            self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Take one row."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Draw the label and as many words as fit."""
        width = self.size.width
        if y or width <= 0:
            return Strip.blank(max(width, 0), self.rich_style)
        first, last = self._window()
        cells = [(fit(self.label, LABEL), "label"), (MORE_LEFT if first else " ", "other")]
        for word in self._choices[first:last]:
            is_chosen = word == self._value
            cells.append((f"[{word}]" if is_chosen else f" {word} ", "chosen" if is_chosen else "other"))
        cells.append((MORE_RIGHT if last < len(self._choices) else "", "other"))
        segments = [Segment(text, self.get_component_rich_style(f"choice--{look}")) for text, look in cells]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked."""
        first, last = self._window()
        column = LABEL + 1
        for word in self._choices[first:last]:
            if column <= event.x < column + cell_len(word) + 2:
                self._choose(word)
            column += cell_len(word) + 2
        event.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible."""
        return "auto" in self._choices if action == "auto" else True

    def action_step(self, count: int) -> None:
        """Choose a neighbour."""
        place = self._choices.index(self._value) + count
        self._choose(self._choices[min(max(place, 0), len(self._choices) - 1)])

    def action_end(self, which: int) -> None:
        """Choose the first or the last."""
        self._choose(self._choices[-1 if which else 0])

    def action_auto(self) -> None:
        """Leave the choice to the program."""
        self._choose("auto")

    def _window(self) -> tuple[int, int]:
        """Return which words fit, among them the chosen one."""
        widths = [cell_len(word) + 2 for word in self._choices]
        room = self.size.width - LABEL - 2
        chosen = self._choices.index(self._value)
        first = 0
        while sum(widths[first : chosen + 1]) > room and first < chosen:
            first += 1
        last = first
        while last < len(widths) and (last <= chosen or sum(widths[first : last + 1]) <= room):
            last += 1
        return first, last

    def _choose(self, value: str) -> None:
        if value != self._value:
            self._value = value
            self.refresh()
            self.post_message(self.Changed(self, value))
