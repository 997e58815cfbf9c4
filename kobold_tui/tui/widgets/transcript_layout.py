"""Which row of which message stands where, for a list of messages of which few are drawn.

Rows count from the top of the whole transcript. Heights of messages that were never in view are estimates;
a `Bookmark` keeps a place while they turn into real ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from textual.strip import Strip

from kobold_tui.tui.widgets.transcript_items import ItemView, Place, TranscriptItem
from kobold_tui.tui.widgets.transcript_render import BlockRenderer
from kobold_tui.tui.widgets.transcript_sections import draw_section

_MAX_DRAWN_ROWS = 20_000


class Bookmark(NamedTuple):
    """A row of an item, by its key."""

    key: int
    place: Place


class TranscriptLayout:
    """The views of all items, in order."""

    def __init__(self, renderer: BlockRenderer) -> None:
        self.renderer = renderer
        self._views: list[ItemView] = []
        self._numbers: dict[int, int] = {}
        self._tops: list[int] = [0]
        self.drawn_rows = 0

    @property
    def keys(self) -> list[int]:
        """The keys of all items, in order."""
        return list(self._numbers)

    @property
    def items(self) -> list[TranscriptItem]:
        """All items, in order."""
        return [view.item for view in self._views]

    @property
    def height(self) -> int:
        """Rows of the whole transcript."""
        return self._top(len(self._views))

    def show(self, items: Iterable[TranscriptItem]) -> None:
        """Replace all items."""
        self._views, self._numbers, self._tops = [], {}, [0]
        self.drawn_rows = 0
        for item in items:
            self.append(item)

    def append(self, item: TranscriptItem) -> None:
        """Add an item at the end."""
        self._numbers[item.key] = len(self._views)
        self._views.append(ItemView(item, self.renderer.text_width))

    def view(self, key: int) -> ItemView:
        """Return the view of an item; call `changed` after changing it. Raises KeyError."""
        return self._views[self._numbers[key]]

    def changed(self, key: int) -> None:
        """Take note that the height of an item may have changed."""
        del self._tops[self._numbers[key] + 1 :]

    def __contains__(self, key: int) -> bool:
        return key in self._numbers

    def use(self, renderer: BlockRenderer) -> None:
        """Draw with another width or other styles from now on."""
        same_width = renderer.text_width == self.renderer.text_width
        self.renderer = renderer
        self.drawn_rows = 0
        for view in self._views:
            if same_width:
                view.release()
            else:
                view.estimate(renderer.text_width)
        if not same_width:
            self._tops = [0]

    def measure(self, top: int, bottom: int) -> bool:
        """Draw all sections between two rows; return whether any height changed by it."""
        changed = False
        number = self._number_at(max(0, top))
        while number < len(self._views) and self._top(number) < bottom:
            start = self._top(number)
            view = self._views[number]
            height = view.height
            self._draw(view, top - start, bottom - start)
            if view.height != height:
                changed = True
                del self._tops[number + 1 :]
            number += 1
        return changed

    def rows(self, top: int, count: int) -> list[Strip | None]:
        """Return `count` rows from `top`; None is a row that is not drawn or beyond the end."""
        found: list[Strip | None] = []
        number = self._number_at(top)
        skip = top - self._top(number) if number < len(self._views) else 0
        while len(found) < count and number < len(self._views):
            for section in self._views[number].sections:
                if skip < section.height:
                    found.extend(section.rows[skip:] if section.rows else [None] * (section.height - skip))
                skip = max(0, skip - section.height)
            number += 1
        found.extend([None] * count)
        return found[:count]

    def bookmark(self, row: int) -> Bookmark | None:
        """Return the place of a row, None in an empty transcript."""
        if not self._views:
            return None
        number = min(self._number_at(row), len(self._views) - 1)
        view = self._views[number]
        return Bookmark(view.item.key, view.place(min(row - self._top(number), view.height - 1)))

    def row_of(self, bookmark: Bookmark) -> int:
        """Return the row where the marked place is now."""
        number = self._numbers[bookmark.key]
        return self._top(number) + self._views[number].row_of(bookmark.place)

    def top_of(self, key: int) -> int:
        """Return the first row of an item."""
        return self._top(self._numbers[key])

    def trim(self, top: int, bottom: int) -> None:
        """Forget rows far from what is in view when very many are held."""
        if self.drawn_rows <= _MAX_DRAWN_ROWS:
            return
        for view in self._views:
            view.release()
        self.drawn_rows = 0
        self.measure(top, bottom)

    def _draw(self, view: ItemView, top: int, bottom: int) -> None:
        y = 0
        for section in view.sections:
            if y >= bottom:
                break
            if section.rows is None and y + section.height > top:
                section.draw(draw_section(self.renderer, view, section))
                self.drawn_rows += section.height
            y += section.height
        view.add_up()

    def _number_at(self, row: int) -> int:
        """Return the number of the item at a row, one past the last below the end."""
        self._top(len(self._views))
        return max(0, bisect_right(self._tops, row) - 1)

    def _top(self, number: int) -> int:
        tops = self._tops
        while len(tops) <= number:
            tops.append(tops[-1] + self._views[len(tops) - 1].height)
        return tops[number]
