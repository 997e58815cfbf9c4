"""A slider over whole numbers: a track in eighths of a cell, its value beside it, and every way to set it.

`Slider.Changed` is posted for each step and only the newest counts. None is "auto": the program decides, and
`told` says what that comes to. The value stands before the track, because a terminal is written from the
left edge of a widget to its last changed column.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from kobold_tui.tui.widgets.fit_text import fit, fit_right

LABEL, VALUE, GAP = 15, 17, 2
"""Columns of label and value, and blank ones before the track."""

EIGHTHS = " ▏▎▍▌▋▊▉"
REST = "─"
BIG_STEPS = 10
"""A big step is at least this part of the whole way."""

MOST_DIGITS = 9


class Slider(Widget, can_focus=True):
    """One row; `steps` are the rising values that keys and mouse stop at, digits reach all between."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Less", show=False, id="slider.less", tooltip="One step less"),
        Binding("right", "step(1)", "More", show=False, id="slider.more", tooltip="One step more"),
        Binding(
            "shift+left,ctrl+left,pagedown",
            "leap(-1)",
            "",
            show=False,
            id="slider.much-less",
            tooltip="A tenth of the way less",
        ),
        Binding(
            "shift+right,ctrl+right,pageup",
            "leap(1)",
            "",
            show=False,
            id="slider.much-more",
            tooltip="A tenth of the way more",
        ),
        Binding("home", "end(0)", "Least", show=False, id="slider.least", tooltip="The least possible"),
        Binding("end", "end(1)", "Most", show=False, id="slider.most", tooltip="The most possible"),
        Binding("a", "auto", "Auto", id="slider.auto", tooltip="Leave the choice to the program"),
        Binding("escape", "forget", "", show=False, id="slider.forget", tooltip="Forget the typed digits"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "slider--label",
        "slider--value",
        "slider--fill",
        "slider--rest",
        "slider--typed",
    }
    DEFAULT_CSS = """
    Slider {
        height: 1;
        width: 1fr;
        & > .slider--label { color: $quiet; }
        & > .slider--value { color: $foreground; }
        & > .slider--fill { color: $primary-muted; }
        & > .slider--rest { color: $faint; }
        & > .slider--typed { color: $accent; text-style: reverse; }
        &:focus > .slider--label { color: $accent; text-style: bold; }
        &:focus > .slider--value { color: $foreground; text-style: bold; }
        &:focus > .slider--fill { color: $accent; }
        &:disabled > .slider--fill { color: $faint; }
        &:disabled > .slider--value { color: $quiet; }
        &:disabled > .slider--label { color: $quiet; }
    }
    """

    @dataclass
    class Changed(Message):
        """The slider stands elsewhere; None is auto."""

        slider: Slider
        value: int | None

        def can_replace(self, message: Message) -> bool:
            """Drop older ones of the same slider that have not been handled."""
            return isinstance(message, Slider.Changed) and message.slider is self.slider

    def __init__(
        self,
        label: str,
        steps: Sequence[int] = (0,),
        *,
        has_auto: bool = False,
        format_value: Callable[[int], str] = str,
        id: str | None = None,  # noqa: A002 - Textual's
    ) -> None:
        super().__init__(id=id)
        self.label = label
        self._steps = steps
        self._has_auto = has_auto
        self._format = format_value
        self._value: int | None = None if has_auto else steps[0]
        self._told = steps[0]
        self._typed = ""
        self._dragged = False

    @property
    def value(self) -> int | None:
        """What is chosen; None is auto."""
        return self._value

    @property
    def number(self) -> int:
        """What is chosen, or what auto comes to."""
        return self._told if self._value is None else self._value

    @property
    def steps(self) -> Sequence[int]:
        """The values that keys and mouse stop at."""
        return self._steps

    @property
    def text(self) -> str:
        """The row without colours."""
        return self.render_line(0).text

    def show(self, steps: Sequence[int], value: int | None, told: int | None = None) -> None:
        """Take over values from outside, without a message; `told` is what auto comes to."""
        told = value if told is None else told
        new = (steps, value if value is not None or self._has_auto else told, told or 0)
        if new != (self._steps, self._value, self._told):
            before = self._reach()
            self._steps, self._value, self._told = new
            self._redraw(before)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Take one row."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Draw label, value and track."""
        width = self.size.width
        if y or width <= 0:
            return Strip.blank(max(width, 0), self.rich_style)
        cells, eighths = divmod(self._reach(), 8)
        fill = "█" * cells + (EIGHTHS[eighths] if eighths else "")
        rest = REST * max(0, self._track - len(fill))
        blank = " " * GAP
        parts = [
            (fit(self.label, LABEL), "label"),
            (fit_right(self._words(), VALUE), "typed" if self._typed else "value"),
            (blank, "label"),
            (fill, "fill"),
            (rest, "rest"),
        ]
        segments = [
            Segment(text, self.get_component_rich_style(f"slider--{look}")) for text, look in parts if text
        ]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def on_key(self, event: events.Key) -> None:
        """Take digits as a value, which counts at once where it is possible."""
        if event.character is not None and event.character.isascii() and event.character.isdigit():
            self._type(self._typed + event.character)
        elif event.key == "backspace" and self._typed:
            self._type(self._typed[:-1])
        elif event.key == "enter" and self._typed:
            self._end_typing()
        else:
            return
        event.stop()
        event.prevent_default()

    def on_blur(self) -> None:
        """End what is being typed."""
        self._end_typing()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Go to where the mouse is, and follow it from there."""
        self._dragged = True
        self.capture_mouse()
        self._go_to(event.x)
        event.stop()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Follow a held mouse."""
        if self._dragged:
            self._go_to(event.x)

    def on_mouse_up(self) -> None:
        """Let go."""
        self._dragged = False
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """One step more for the slider that has the keys; others let the page scroll."""
        if self.has_focus:
            event.stop()
            self.action_step(1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """One step less for the slider that has the keys; others let the page scroll."""
        if self.has_focus:
            event.stop()
            self.action_step(-1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible."""
        return self._has_auto if action == "auto" else bool(self._typed) if action == "forget" else True

    def action_step(self, count: int) -> None:
        """Go some steps; from between two steps the next one counts."""
        steps, place = self._steps, bisect_left(self._steps, self.number)
        is_between = place >= len(steps) or steps[place] != self.number
        self._choose(steps[min(max(place + count - (is_between and count > 0), 0), len(steps) - 1)])

    def action_leap(self, direction: int) -> None:
        """Go a big step."""
        self.action_step(direction * max(1, round((len(self._steps) - 1) / BIG_STEPS)))

    def action_end(self, which: int) -> None:
        """Go to an end."""
        self._choose(self._steps[-1 if which else 0])

    def action_auto(self) -> None:
        """Leave the choice to the program."""
        self._choose(None)

    def action_forget(self) -> None:
        """Forget what is being typed."""
        self._end_typing()

    @property
    def _track(self) -> int:
        return max(0, self.size.width - LABEL - VALUE - GAP)

    def _reach(self) -> int:
        """Return how far the track is filled, in eighths of a cell; every step is equally wide."""
        last = len(self._steps) - 1
        place = bisect_left(self._steps, self.number)
        return min(place, last) * self._track * 8 // last if last else 0

    def _words(self) -> str:
        if self._typed:
            return self._typed
        words = self._format(self.number)
        return f"auto {words}" if self._value is None else words

    def _go_to(self, x: int) -> None:
        track, last = self._track, len(self._steps) - 1
        x -= LABEL + VALUE + GAP
        if track > 1 and x >= -GAP:
            share = min(max(x, 0), track - 1) / (track - 1)
            self._choose(self._steps[round(share * last)])

    def _type(self, typed: str) -> None:
        self._typed = typed[:MOST_DIGITS]
        if typed and self._steps[0] <= int(self._typed) <= self._steps[-1]:
            self._choose(int(self._typed), keep_typed=True)
        self.refresh()

    def _end_typing(self) -> None:
        if self._typed:
            typed, self._typed = int(self._typed), ""
            self._choose(min(max(typed, self._steps[0]), self._steps[-1]))
            self.refresh()

    def _choose(self, value: int | None, *, keep_typed: bool = False) -> None:
        if not keep_typed:
            self._typed = ""
        if value == self._value:
            return
        before = self._reach()
        self._value = value
        self._redraw(before)
        self.post_message(self.Changed(self, value))

    def _redraw(self, before: int) -> None:
        """Mark label to value and the changed part of the track as to be drawn."""
        end = max(before, self._reach()) // 8 + 1
        self.refresh(Region(0, 0, min(self.size.width, LABEL + VALUE + GAP + end), 1))
