"""The field where messages are written: Enter sends, and keys that belong to the program pass through.

A long paste is kept aside and stands in the field as one short mark, so that typing never waits for it; the
message that is sent holds the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.widgets import TextArea

MAX_ROWS = 10
LONG_PASTE = 4_000
"""Characters from which a paste is shown as a mark."""

_NOT_OURS = frozenset({"f6", "f7", "ctrl+z,super+z", "pageup", "pagedown", "up", "down"})


class Prompt(TextArea, inherit_bindings=False):
    """A field that grows with its text up to ten rows, or half of a small screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            binding
            for binding in TextArea.BINDINGS
            if isinstance(binding, Binding) and binding.key not in _NOT_OURS
        ),
        Binding("enter", "submit", "Send", id="prompt.submit", tooltip="Send the message"),
        Binding(
            "ctrl+j,shift+enter",
            "newline",
            "New line",
            show=False,
            id="prompt.newline",
            tooltip="Begin a new line in the message",
        ),
        Binding(
            "up",
            "older",
            "",
            show=False,
            id="prompt.older",
            tooltip="Call up what was sent before, when empty",
        ),
        Binding("down", "newer", "", show=False, id="prompt.newer", tooltip="Go back to newer messages"),
        Binding("alt+z", "undo", "Undo", show=False, id="prompt.undo", tooltip="Undo the last change"),
    ]
    DEFAULT_CSS = """
    Prompt {
        height: auto;
        min-height: 3;
        border: round $border-blurred;
        padding: 0 1;
        background: $background;
        scrollbar-size-vertical: 1;
        &:focus { border: round $border; }
        & .text-area--cursor-line { background: $background; }
        & .text-area--placeholder { color: $quiet; }
    }
    """

    @dataclass
    class Submitted(Message):
        """A message was sent; `text` is all of it, long pastes included."""

        text: str

    def __init__(
        self,
        *,
        placeholder: str = "",
        id: str | None = None,  # noqa: A002 - Textual's
        classes: str | None = None,
    ) -> None:
        super().__init__(
            placeholder=placeholder, id=id, classes=classes, tab_behavior="focus", highlight_cursor_line=False
        )
        self._sent: list[str] = []
        self._position: int | None = None
        self._pastes: dict[str, str] = {}

    @property
    def full_text(self) -> str:
        """The text with every paste in its place."""
        if not self._pastes:
            return self.text
        marks = "|".join(re.escape(mark) for mark in self._pastes)
        return re.sub(marks, lambda match: self._pastes[match[0]], self.text)

    @property
    def sent(self) -> tuple[str, ...]:
        """What Up calls up, oldest first."""
        return tuple(self._sent)

    def set_history(self, messages: Iterable[str]) -> None:
        """Give what Up calls up, oldest first."""
        self._sent = list(messages)
        self._position = None

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the rows of the text, within what the screen can spare."""
        rows = super().get_content_height(container, viewport, width)
        return max(1, min(rows, MAX_ROWS, viewport.height // 2 - 2))

    def on_key(self, event: events.Key) -> None:
        """Keep from the base class what it would insert: Enter, and the letter of an alt key."""
        if event.key == "enter" or event.key.startswith("alt+"):
            event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        """Put a long paste aside and a mark in its place."""
        if len(event.text) < LONG_PASTE:
            return
        event.prevent_default()
        event.stop()
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.count("\n") + 1
        mark = f"[paste {len(self._pastes) + 1}: {lines:,} lines, {len(text):,} characters]"
        self._pastes[mark] = text
        self.insert(mark)

    def action_submit(self) -> None:
        """Send the message, unless there is none."""
        text = self.full_text
        if not text.strip():
            return
        if not self._sent or self._sent[-1] != text:
            self._sent.append(text)
        self._position = None
        self._pastes.clear()
        self.text = ""
        self.post_message(self.Submitted(text))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")
        self.scroll_cursor_visible()

    def action_older(self) -> None:
        """Move the cursor up; in an empty or unchanged field, call up the message before."""
        if not self._browses() or not self._sent:
            self.action_cursor_up()
            return
        last = len(self._sent) if self._position is None else self._position
        self._recall(max(0, last - 1))

    def action_newer(self) -> None:
        """Move the cursor down; among called-up messages, go to the next, at last to an empty field."""
        if self._position is None or not self._browses():
            self.action_cursor_down()
        else:
            self._recall(self._position + 1)

    def _browses(self) -> bool:
        """Whether the field is empty or shows a called-up message as it was."""
        if self._position is None:
            return not self.text
        return self.full_text == self._sent[self._position]

    def _recall(self, position: int) -> None:
        recalled = self._sent[position] if position < len(self._sent) else ""
        self._position = position if position < len(self._sent) else None
        self._pastes.clear()
        self.text = ""
        if len(recalled) < LONG_PASTE:
            self.insert(recalled)
        else:
            mark = f"[sent before: {recalled.count(chr(10)) + 1:,} lines, {len(recalled):,} characters]"
            self._pastes[mark] = recalled
            self.insert(mark)
