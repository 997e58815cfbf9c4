"""The conversation on screen: Markdown messages that stream in without costing more as they grow.

Messages are drawn to rows once and kept. While an answer arrives, frames come at a bounded rate and redraw
its open block alone; a frame that took long is followed by a longer pause, so that typing stays smooth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from time import monotonic
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.reactive import reactive, var
from textual.timer import Timer

from kobold_tui.tui.widgets.transcript_blocks import code_blocks
from kobold_tui.tui.widgets.transcript_items import TranscriptItem
from kobold_tui.tui.widgets.transcript_render import preload
from kobold_tui.tui.widgets.transcript_scroll import TranscriptScroll

__all__ = ["Transcript", "TranscriptItem"]

_PAUSE_PER_COST = 4
_SHORTEST_PAUSE = 0.001


class Transcript(TranscriptScroll):
    """A scrolling list of chat messages that follows the end while the reader is there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "alt+up",
            "select_previous",
            "Previous message",
            show=False,
            id="transcript.select-previous",
            tooltip="Mark the message above",
        ),
        Binding(
            "alt+down",
            "select_next",
            "Next message",
            show=False,
            id="transcript.select-next",
            tooltip="Mark the message below",
        ),
        Binding(
            "end",
            "follow",
            "End",
            show=False,
            id="transcript.follow",
            tooltip="Go to the end and stay there while text arrives",
        ),
        Binding(
            "t",
            "toggle_reasoning",
            "Thinking",
            show=False,
            id="transcript.toggle-reasoning",
            tooltip="Show or hide the thinking of the marked message, else of the last one",
        ),
    ]

    selected: reactive[int | None] = reactive(None, repaint=False)
    """Key of the message that is marked, for copying and the like."""
    frames_per_second: var[float] = var(12.0)
    """Frames a second at most while text arrives."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=classes)
        self._pending: dict[int, tuple[str, str]] = {}
        self._frame_timer: Timer | None = None
        self._next_frame_at = 0.0
        self._undrawn = False
        self._preloaded = False

    @property
    def items(self) -> list[TranscriptItem]:
        """The messages as they stand, in order."""
        self._apply_pending()
        return self._layout.items

    def show(self, items: Sequence[TranscriptItem]) -> None:
        """Replace all messages and go to the end."""
        self._pending.clear()
        self._layout.show(items)
        self.selected = None
        self.follow = True
        self._preload()
        self.update_view()

    def append(self, item: TranscriptItem) -> None:
        """Add a message at the end."""
        self._layout.append(item)
        self._preload()
        self.note_news()
        self.update_view(growing=self.page_scroll)

    def replace(self, item: TranscriptItem) -> None:
        """Show another state of the message with the same key; adds it where there is none."""
        if item.key not in self._layout:
            self.append(item)
            return
        self._pending.pop(item.key, None)
        self._layout.view(item.key).set(item)
        self._layout.changed(item.key)
        self.update_view(growing=self.page_scroll and item.status == "streaming")

    def stream(self, key: int, text: str, reasoning: str = "") -> None:
        """Append to a message; it is on screen with the next frame. Raises KeyError for an unknown key."""
        self._layout.view(key)
        known_text, known_reasoning = self._pending.get(key, ("", ""))
        self._pending[key] = (known_text + text, known_reasoning + reasoning)
        if self._frame_timer is None and self.is_mounted:
            pause = max(_SHORTEST_PAUSE, self._next_frame_at - monotonic())
            self._frame_timer = self.set_timer(pause, self._draw_frame)

    def finish(self, key: int, item: TranscriptItem) -> None:
        """Close a message that streamed: from now on it is what `item` says."""
        self.replace(item if item.key == key else dataclasses.replace(item, key=key))

    def last_answer_text(self) -> str:
        """Return the Markdown of the last answer, an empty text where there is none."""
        answers = (item.text for item in reversed(self.items) if item.role == "assistant" and item.text)
        return next(answers, "")

    def code_blocks(self, key: int) -> list[str]:
        """Return the contents of the fences in a message. Raises KeyError for an unknown key."""
        self._apply_pending()
        return code_blocks(self._layout.view(key).item.text)

    def toggle_reasoning(self, key: int) -> None:
        """Show or hide the thinking of a message. Raises KeyError for an unknown key."""
        view = self._layout.view(key)
        view.fold(unfolded=not view.unfolded)
        self._layout.changed(key)
        self.update_view()

    def watch_selected(self, old: int | None, new: int | None) -> None:
        """Move the mark, and bring the message into view."""
        for key in (old, new):
            if key is not None and key in self._layout:
                view = self._layout.view(key)
                view.marked = key == new
                view.release()
        if new is not None and new in self._layout and self._is_out_of_view(new):
            self.scroll_to(y=self._layout.top_of(new))
        self.update_view()

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self.follow = True
        self.update_view()

    def action_select_previous(self) -> None:
        """Mark the message above; at first the last one."""
        keys = self._layout.keys
        if keys:
            place = keys.index(self.selected) if self.selected in keys else len(keys)
            self.selected = keys[max(0, place - 1)]

    def action_select_next(self) -> None:
        """Mark the message below; below the last one nothing is marked and the view follows."""
        keys = self._layout.keys
        if self.selected not in keys:
            return
        below = keys[keys.index(self.selected) + 1 :]
        self.selected = below[0] if below else None
        if not below:
            self.action_follow()

    def action_toggle_reasoning(self) -> None:
        """Show or hide the thinking of the marked message, else of the last one that has any."""
        thinkers = [item.key for item in self.items if item.has_reasoning]
        key = self.selected if self.selected in thinkers else next(reversed(thinkers), None)
        if key is not None:
            self.toggle_reasoning(key)

    def _draw_frame(self) -> None:
        started = monotonic()
        self._frame_timer = None
        self._apply_pending()
        if self._undrawn:
            self._undrawn = False
            self.note_news()
            self.update_view(growing=True)
        cost = monotonic() - started
        self._next_frame_at = started + max(1 / self.frames_per_second, (1 + _PAUSE_PER_COST) * cost)

    def _apply_pending(self) -> None:
        """Hand the text that has arrived to the layout; the next frame draws it."""
        pending, self._pending = self._pending, {}
        for key, (text, reasoning) in pending.items():
            self._layout.view(key).add(text, reasoning)
            self._layout.changed(key)
            self._undrawn = True

    def _is_out_of_view(self, key: int) -> bool:
        top, start = self.scroll_offset.y, self._layout.top_of(key)
        end = start + self._layout.view(key).height
        return start < top or (end > top + self.size.height and start > top)

    def _preload(self) -> None:
        """Import the Markdown parts in a thread while a person still reads or waits."""
        if self.is_mounted and not self._preloaded:
            self._preloaded = True
            self.run_worker(preload, thread=True, exit_on_error=False, group="transcript-preload")
