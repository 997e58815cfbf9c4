"""Processes on the cards, ours first; the cursor stays on its process whatever the order becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Region
from textual.message import Message

from kobold_tui.tui.widgets.cell_canvas import CellCanvas
from kobold_tui.tui.widgets.cells import Line, fit_line, on_top
from kobold_tui.tui.widgets.process_rows import (
    CUTS,
    SORT_KEYS,
    ProcessRow,
    SortKey,
    column_at,
    sorted_rows,
    table_head,
    table_line,
)


class ProcessTable(Vertical, can_focus=True):
    """A head that sorts, and rows with a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="processes.up", tooltip="One row up"),
        Binding("down,j", "move(1)", "Down", show=False, id="processes.down", tooltip="One row down"),
        Binding("home,g", "jump(0)", "First", show=False, id="processes.first", tooltip="First row"),
        Binding("end,G", "jump(-1)", "Last", show=False, id="processes.last", tooltip="Last row"),
        Binding("enter", "open", "Details", id="processes.open", tooltip="What is known of the process"),
        Binding("s", "sort", "Sort", id="processes.sort", tooltip="Sort by the next column"),
        Binding("r", "reverse", "Reverse", show=False, id="processes.reverse", tooltip="Reverse the order"),
        Binding(
            "x,delete",
            "end",
            "End process",
            id="processes.end",
            tooltip="End one of our models, after a question",
        ),
    ]
    DEFAULT_CSS = """
    ProcessTable { height: 1fr; min-height: 3; }
    ProcessTable > #processes-rows { height: 1fr; overflow-y: auto; visibility: visible; }
    """

    @dataclass
    class Opened(Message):
        """Somebody wants to know more of a process."""

        row: ProcessRow

    @dataclass
    class EndRequested(Message):
        """Somebody wants a process to end."""

        row: ProcessRow

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id)
        self._head = CellCanvas()
        self._body = CellCanvas(id="processes-rows")
        self._rows: list[ProcessRow] = []
        self._empty = ""
        self._by: SortKey = "ours"
        self._reverse = False
        self._key: tuple[str, int] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the head above the rows."""
        yield self._head
        yield self._body

    @property
    def rows(self) -> tuple[ProcessRow, ...]:
        """The rows, top to bottom."""
        return tuple(self._rows)

    @property
    def current(self) -> ProcessRow | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    @property
    def cursor(self) -> int:
        """The place of the cursor."""
        keys = [row.key for row in self._rows]
        return keys.index(self._key) if self._key in keys else 0

    @property
    def text(self) -> str:
        """What is shown, without colours."""
        return f"{self._head.text}\n{self._body.text}"

    def show(self, rows: Sequence[ProcessRow], empty: str) -> None:
        """Show other rows; `empty` is said where there are none."""
        ordered = sorted_rows(rows, self._by, reverse=self._reverse)
        if (ordered, empty) != (self._rows, self._empty):
            self._rows, self._empty = ordered, empty
            self._draw()

    def on_resize(self) -> None:
        """Fit the columns to the width."""
        self._draw()

    def on_focus(self) -> None:
        """Show the cursor as the one that has the keys."""
        self._draw()

    def on_blur(self) -> None:
        """Show the cursor as one without the keys."""
        self._draw()

    def on_click(self, event: events.Click) -> None:
        """Sort by a column of the head, move the cursor, or open a row with a double click."""
        y = event.screen_y - self.region.y
        if y == 0:
            self._sort_by(column_at(event.screen_x - self.region.x))
            return
        index = y - 1 + self._body.scroll_offset.y
        if 0 <= index < len(self._rows):
            self._place(index)
            if event.chain > 1:
                self.action_open()

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._place(self.cursor + by)

    def action_jump(self, index: int) -> None:
        """Move the cursor to the first or last row."""
        self._place(index if index >= 0 else len(self._rows) - 1)

    def action_open(self) -> None:
        """Ask for details."""
        if self.current is not None:
            self.post_message(self.Opened(self.current))

    def action_end(self) -> None:
        """Ask for the end of the process."""
        if self.current is not None:
            self.post_message(self.EndRequested(self.current))

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort_by(SORT_KEYS[(SORT_KEYS.index(self._by) + 1) % len(SORT_KEYS)])

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._sort_by(self._by)

    def _sort_by(self, key: SortKey) -> None:
        self._reverse = not self._reverse if key == self._by else False
        self._by = key
        self._rows = sorted_rows(self._rows, key, reverse=self._reverse)
        self._draw()

    def _place(self, index: int) -> None:
        if self._rows:
            index = max(0, min(index, len(self._rows) - 1))
            self._key = self._rows[index].key
            self._draw()
            self._body.scroll_to_region(Region(0, index, 1, 1), animate=False, force=True)

    def _draw(self) -> None:
        width = self.size.width
        if width <= 0:
            return
        self._head.show([table_head(self._by, width, reverse=self._reverse)], (), width)
        room = width - 1  # for the scroll bar
        self._body.show(self._lines(room), CUTS, room)

    def _lines(self, width: int) -> list[Line]:
        if not self._rows:
            return [fit_line(((f"  {self._empty}", "quiet"),), width)]
        lines = [table_line(row, width) for row in self._rows]
        look = "cursor" if self.has_focus else "blurred"
        lines[self.cursor] = on_top(lines[self.cursor], look)
        return lines
