"""A list of one-line rows that draws only what is in view, so thousands of rows cost as much as ten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

T = TypeVar("T")

Cell = tuple[str, str]
"""Text and the name of the component class that colours it."""


class RowList(ScrollView, Generic[T], can_focus=True):
    """Rows with a cursor; `draw(item, width)` returns the cells of a row, exactly `width` columns in all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="list.up", tooltip="One row up"),
        Binding("down,j", "move(1)", "Down", show=False, id="list.down", tooltip="One row down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="list.page-up", tooltip="One page up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="list.page-down", tooltip="One page down"),
        Binding("home,g", "jump(0)", "First", show=False, id="list.first", tooltip="First row"),
        Binding("end,G", "jump(-1)", "Last", show=False, id="list.last", tooltip="Last row"),
        Binding("enter", "select", "Open", show=False, id="list.open", tooltip="Open the row"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "row--text",
        "row--quiet",
        "row--accent",
        "row--good",
        "row--warn",
        "row--bad",
        "row--head",
        "row--cursor",
    }
    DEFAULT_CSS = """
    RowList { height: 1fr; background: transparent; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """

    cursor: reactive[int] = reactive(0)

    @dataclass
    class Highlighted(Message):
        """The cursor stands on another row; None in an empty list."""

        item: object

    @dataclass
    class Selected(Message):
        """A row was opened."""

        item: object

    def __init__(
        self,
        draw: Callable[[T, int], Sequence[Cell]],
        *,
        id: str | None = None,  # noqa: A002
        identity: Callable[[T], object] | None = None,
        is_heading: Callable[[T], bool] | None = None,
    ) -> None:
        """Make a list; `identity` names a row also after it has changed; headings never come first."""
        super().__init__(id=id)
        self._draw = draw
        self._identity = identity or _itself
        self._is_heading = is_heading or _never
        self._items: tuple[T, ...] = ()
        self._placed = False

    @property
    def items(self) -> tuple[T, ...]:
        """The rows, top to bottom."""
        return self._items

    @property
    def current(self) -> T | None:
        """The row under the cursor."""
        return self._items[self.cursor] if self.cursor < len(self._items) else None

    @property
    def row_width(self) -> int:
        """Columns that a row has, beside the scrollbar."""
        return self.scrollable_content_region.width

    def show(self, items: Sequence[T], *, from_top: bool = False) -> None:
        """Replace the rows; a cursor that was placed stays on its row, and the row where it is on the screen.

        Where the row has gone the cursor stays at its height; with `from_top` it goes to the first row.
        """
        current, before = self.current, self.cursor
        self._items = tuple(items)
        self.virtual_size = Size(self.row_width, len(self._items))
        self.set_reactive(RowList.cursor, self._index_after(current, before, from_top=from_top))
        self._keep_height(self.cursor - before if self._placed and not from_top else -before)
        if self.current != current:
            self.post_message(self.Highlighted(self.current))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one row of the view."""
        index = y + self.scroll_offset.y
        width = self.size.width
        if index >= len(self._items):
            return Strip.blank(width, self.rich_style)
        cells = self._draw(self._items[index], self.row_width)
        cursor = self._cursor_style() if index == self.cursor else None
        segments = [self._segment(text, name, cursor) for text, name in cells]
        return Strip(segments).adjust_cell_length(width, cursor or self.rich_style)

    def place(self, index: int) -> None:
        """Put the cursor on a row; from now on it keeps to rows, not to the top."""
        self._placed = True
        self.cursor = index

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor inside the list."""
        return max(0, min(cursor, len(self._items) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        """Redraw the two rows and keep the cursor in view."""
        for index in (old, new):
            self.refresh_lines(index - self.scroll_offset.y, 1)
        self.scroll_to_region(Region(0, new, 1, 1), animate=False, force=True)
        self.post_message(self.Highlighted(self.current))

    def on_resize(self, event: events.Resize) -> None:
        """Rows are as wide as the view."""
        self.virtual_size = Size(event.size.width, len(self._items))

    def on_focus(self) -> None:
        """Show the cursor as the one that has the keys."""
        self.refresh()

    def on_blur(self) -> None:
        """Show the cursor as one without the keys."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor; a double click opens the row."""
        index = event.y + self.scroll_offset.y
        if index < len(self._items):
            self.place(index)
            if event.chain > 1:
                self.action_select()

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.place(self.cursor + by)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.place(self.cursor + pages * max(1, self.size.height - 1))

    def action_jump(self, index: int) -> None:
        """Move the cursor to the first or last row."""
        self.place(index if index >= 0 else len(self._items) - 1)

    def action_select(self) -> None:
        """Open the row under the cursor."""
        if self.current is not None:
            self.post_message(self.Selected(self.current))

    def _index_after(self, current: T | None, before: int, *, from_top: bool) -> int:
        """Return where the cursor goes when rows have been replaced."""
        if from_top or not self._placed or current is None:
            return next((index for index, item in enumerate(self._items) if not self._is_heading(item)), 0)
        wanted = self._identity(current)
        found = (index for index, item in enumerate(self._items) if self._identity(item) == wanted)
        return self.validate_cursor(next(found, before))

    def _keep_height(self, moved: int) -> None:
        """Scroll by as many rows as the cursor has moved, and have it in view in any case."""
        if moved and self.is_mounted:
            self.scroll_to(y=max(0, self.scroll_offset.y + moved), animate=False, force=True, immediate=True)
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def _cursor_style(self) -> Style:
        style = self.get_component_rich_style("row--cursor")
        return style if self.has_focus else style + Style(dim=True, bold=False)

    def _segment(self, text: str, name: str, cursor: Style | None) -> Segment:
        style = self.get_component_rich_style(name)
        if cursor is not None:
            style = Style(
                bgcolor=cursor.bgcolor,
                color=style.color if name != "row--text" else cursor.color,
                bold=cursor.bold,
            )
        return Segment(text, style)


def _itself(item: object) -> object:
    return item


def _never(_item: object) -> bool:
    return False
