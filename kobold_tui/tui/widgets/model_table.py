"""The models as a table: filter line, titles, rows, and a line about places that have not answered yet.

The table knows how rows are shown; what may be done with a model is the pane's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, Static

from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.size_rule import SizeVerdict
from kobold_tui.tui.widgets.column_titles import ColumnTitles
from kobold_tui.tui.widgets.filter_line import FilterLine
from kobold_tui.tui.widgets.fit_text import below_home, safe
from kobold_tui.tui.widgets.model_arrangement import (
    FAULTS,
    GROUPS,
    SORTS,
    Arranger,
    Heading,
    Order,
    Row,
    Stock,
    identity_of,
)
from kobold_tui.tui.widgets.model_columns import Look, draw_row, titles
from kobold_tui.tui.widgets.row_list import Cell, RowList

V = TypeVar("V")


class ModelRows(RowList[Row]):
    """The rows; g, left and right belong to the table around them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g,left,right", "give_up", "", show=False),
        Binding("enter", "select", "Load", id="list.open", tooltip="Load the model, or fold the group"),
        Binding("home", "jump(0)", "First", show=False, id="list.first", tooltip="First row"),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Let keys pass to the table around."""
        return action != "give_up"


class ModelTable(Vertical):
    """Rows of models in an order that a person chooses; `look_of` says what stands beside their facts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash", "filter", "Filter", id="models.filter", tooltip="Type words to narrow the list down"
        ),
        Binding("escape", "unfilter", "Show all", id="models.unfilter", tooltip="Forget the filter"),
        Binding("s", "sort", "Sort", id="models.sort", tooltip="Sort by the next column"),
        Binding("S", "reverse", "", show=False, id="models.reverse", tooltip="Turn the order round"),
        Binding("g", "group", "Group", id="models.group", tooltip="Group by folder, by family, or not"),
        Binding("left", "fold", "", show=False, id="models.fold", tooltip="Fold the group under the cursor"),
    ]
    DEFAULT_CSS = """
    ModelTable { height: 1fr; }
    ModelTable > #models-pending { height: 1; padding: 0 1; display: none; }
    ModelTable.-pending > #models-pending { display: block; }
    """

    order: reactive[Order] = reactive(Order(), init=False)

    class Changed(Message):
        """Another order or filter is in force, or other rows are there."""

    class Highlighted(Message):
        """The cursor stands on another row."""

    def __init__(
        self, look_of: Callable[[ModelEntry], Look], fit_of: Callable[[ModelEntry], SizeVerdict | None]
    ) -> None:
        super().__init__(id="models-table")
        self._look_of = look_of
        self._arranger = Arranger(fit_of)
        self._stock = Stock()
        self._filter = FilterLine("Words that must all be there", id="models-filter")
        self._titles = ColumnTitles(id="models-titles")
        self._pending = Static(id="models-pending", markup=False)
        self.rows = ModelRows(
            self._draw,
            id="models-list",
            identity=identity_of,
            is_heading=lambda row: isinstance(row, Heading),
        )

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        yield self._filter
        yield self._titles
        yield self.rows
        yield self._pending

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows.current

    @property
    def words_of_order(self) -> str:
        """How many rows there are and in which order, for the edge of the pane."""
        shown = sum(isinstance(row, ModelEntry) for row in self.rows.items)
        total = len(self._stock.models)
        parts = [f"{shown} of {total}" if self.order.words else str(total)] if total else []
        if self.order.sort != "first" or self.order.is_reversed:
            parts.append(SORTS[self.order.sort] + (", reversed" if self.order.is_reversed else ""))
        if self.order.group != "none":
            parts.append(GROUPS[self.order.group])
        return " · ".join(parts)

    def show(self, stock: Stock, pending: Sequence[str] = ()) -> None:
        """Show what there is now; the cursor keeps to its model."""
        self._stock = stock
        self._arrange()
        self.set_class(bool(pending), "-pending")
        self._pending.update(safe(pending_words(pending)))

    def place(self, model: ModelEntry) -> None:
        """Put the cursor on a model, wherever it is; a filter or a fold that hides it is given up."""
        for order in (self.order, Order(sort=self.order.sort, is_reversed=self.order.is_reversed)):
            self.order = order
            for index, row in enumerate(self.rows.items):
                if isinstance(row, ModelEntry) and model.path in (row.path, *row.copies):
                    self.rows.place(index)
                    return

    def watch_order(self, old: Order, new: Order) -> None:
        """Arrange anew; what is found stands below the cursor, everything else keeps it."""
        if self._filter.value != new.words:
            self._filter.value = new.words
        self._arrange(from_top=old.words != new.words and bool(new.words))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible now."""
        if action == "filter":
            return not self._filter.has_focus
        return action != "unfilter" or bool(self.order.words)

    def on_row_list_highlighted(self, event: RowList.Highlighted) -> None:
        """Pass it on as our own: Textual ends a child's message at the parent in whose name it was sent."""
        event.stop()
        self.post_message(self.Highlighted())

    def on_resize(self) -> None:
        """Fit the titles to the width."""
        self.call_after_refresh(self._show_titles)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find the words as they are typed."""
        event.stop()
        self.order = msgspec.structs.replace(self.order, words=event.value)

    def on_filter_line_left(self) -> None:
        """Give the keys to the rows."""
        self.rows.focus()

    def on_column_titles_chosen(self, event: ColumnTitles.Chosen) -> None:
        """Sort by a title; the same one again turns the order round."""
        sort = next(sort for sort in SORTS if sort == event.name)
        is_reversed = sort == self.order.sort and not self.order.is_reversed
        self.order = msgspec.structs.replace(self.order, sort=sort, is_reversed=is_reversed)

    def action_filter(self) -> None:
        """Give the keys to the filter."""
        self._filter.open()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self.order = msgspec.structs.replace(self.order, words="")

    def action_sort(self) -> None:
        """Sort by the next column."""
        sort = _next(tuple(SORTS), self.order.sort)
        self.order = msgspec.structs.replace(self.order, sort=sort, is_reversed=False)

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.order = msgspec.structs.replace(self.order, is_reversed=not self.order.is_reversed)

    def action_group(self) -> None:
        """Group by the next property."""
        group = _next(tuple(GROUPS), self.order.group)
        self.order = msgspec.structs.replace(self.order, group=group, closed=self.order.closed & {FAULTS})

    def action_fold(self) -> None:
        """Fold or unfold the group that the cursor stands in."""
        above = self.rows.items[: self.rows.cursor + 1]
        heading = next((row for row in reversed(above) if isinstance(row, Heading)), None)
        if heading is not None:
            self.toggle(heading)

    def toggle(self, heading: Heading) -> None:
        """Fold or unfold a group; the cursor goes to its title."""
        self.rows.place(self.rows.items.index(heading))
        self.order = msgspec.structs.replace(self.order, closed=self.order.closed ^ {heading.title})

    def _arrange(self, *, from_top: bool = False) -> None:
        rows = self._arranger.arrange(self._stock, self.order)
        self.rows.show(rows, from_top=from_top)
        self._show_titles()
        self.post_message(self.Changed())

    def _show_titles(self) -> None:
        width = self.rows.row_width
        order = self.order
        if width:
            self._titles.show(titles(width, order.sort, is_reversed=order.is_reversed), order.sort)

    def _draw(self, row: Row, width: int) -> Sequence[Cell]:
        return draw_row(row, self._look_of(row) if isinstance(row, ModelEntry) else Look(), width)


def pending_words(pending: Sequence[str]) -> str:
    """Return which places are still being looked through."""
    names = [below_home(name) for name in pending if name]
    if not names:
        return "looking for models …" if pending else ""
    more = f" and {len(names) - 2} more places" if len(names) > 3 else ""
    return f"still looking in {', '.join(names[:2] if more else names)}{more} …"


def _next(values: Sequence[V], now: V) -> V:
    return values[(values.index(now) + 1) % len(values)]
