"""Two presets side by side: the keys in which they differ, with both values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import KeyDifference
from kobold_tui.tui.widgets.fit_text import fit, safe
from kobold_tui.tui.widgets.form_fields import fields_of
from kobold_tui.tui.widgets.row_list import Cell, RowList

_TITLE_WIDTH = 22


class PresetCompareScreen(ModalScreen[None]):
    """A window with a list of differences; Esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close", id="preset-compare.close", tooltip="Close the comparison"),
    ]
    DEFAULT_CSS = """
    PresetCompareScreen { align: center middle; }
    PresetCompareScreen > Vertical { width: 110; max-width: 98%; padding: 0 1; }
    PresetCompareScreen > Vertical { height: auto; max-height: 90%; }
    PresetCompareScreen RowList { height: auto; max-height: 100%; }
    PresetCompareScreen Static { height: 1; }
    PresetCompareScreen #compare-same { display: none; height: auto; padding: 1 0; }
    """

    def __init__(self, left: str, right: str, rows: Sequence[KeyDifference]) -> None:
        super().__init__()
        self._left, self._right, self._rows = left, right, tuple(rows)
        self._titles = {field.key: field.title for field in fields_of(Preset)}
        self._list: RowList[KeyDifference] = RowList(self._draw, id="compare-list")

    def compose(self) -> ComposeResult:
        """Lay out the names above the rows."""
        with Vertical() as window:
            window.border_title = "Compare"
            count = len(self._rows)
            window.border_subtitle = f"{count} difference{'s' if count != 1 else ''} · Esc closes"
            yield Static("", id="compare-head", markup=False)
            yield self._list
            yield Static("Both say the same.", id="compare-same", markup=False)

    def on_mount(self) -> None:
        """Show the rows."""
        self._list.styles.height = max(1, len(self._rows))
        self._list.display = bool(self._rows)
        self.query_one("#compare-same").display = not self._rows
        self._list.show(self._rows)
        self._list.focus()

    def on_resize(self) -> None:
        """Write the names above their columns."""
        width = max(20, self.query_one("#compare-head").size.width or 76)
        half = (width - _TITLE_WIDTH - 4) // 2
        head = f" {' ' * _TITLE_WIDTH} {fit(self._left, half)}  {fit(self._right, half)}"
        self.query_one("#compare-head", Static).update(head)

    def _draw(self, row: KeyDifference, width: int) -> Sequence[Cell]:
        half = max(4, (width - _TITLE_WIDTH - 4) // 2)
        title = self._titles.get(row.key, row.key)
        return [
            (f" {fit(title, _TITLE_WIDTH)} ", "row--quiet"),
            (fit(words(row.left), half), "row--text" if row.left is not None else "row--quiet"),
            ("  ", "row--text"),
            (fit(words(row.right), half), "row--accent" if row.right is not None else "row--quiet"),
        ]


def words(value: Any) -> str:
    """Return a value in one line; what is not set is told so."""
    if value is None or value in ("", [], {}):
        return "not set"
    return safe(value) if isinstance(value, str) else safe(msgspec.json.encode(value).decode())
