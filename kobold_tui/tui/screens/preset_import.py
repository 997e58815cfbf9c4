"""What a file of KoboldCpp means here, key by key, before it becomes a preset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kobold_tui.domain.preset_report import DownloadOffer, KeyReport, KeyStatus
from kobold_tui.tui.widgets.fit_text import fit, safe
from kobold_tui.tui.widgets.row_list import Cell, RowList

ORDER: tuple[KeyStatus, ...] = ("refused", "unsupported", "approximated", "mapped", "ignored")
MEANING: dict[KeyStatus, str] = {
    "refused": "not taken over: unsafe, secret, or no valid value",
    "unsupported": "not taken over: this program does not do it",
    "approximated": "nearly the same here",
    "mapped": "the same here",
    "ignored": "asks for nothing here",
}
LOOKS: dict[KeyStatus, str] = {
    "refused": "row--bad",
    "unsupported": "row--warn",
    "approximated": "row--accent",
    "mapped": "row--good",
    "ignored": "row--quiet",
}
Row = KeyReport | str | DownloadOffer
"""A key, the heading of a group, or a file to fetch."""

_KEY, _VALUE = 22, 18


class PresetReportScreen(ModalScreen[bool]):
    """A window with the report; dismissed with whether to go on. Without a `verb` there is nothing to do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "go_on", "Save", priority=True, id="preset-report.save", tooltip="Save the preset"),
        Binding("escape", "dismiss(False)", "Close", id="preset-report.close", tooltip="Save nothing"),
    ]
    DEFAULT_CSS = """
    PresetReportScreen { align: center middle; }
    PresetReportScreen > Vertical { width: 110; max-width: 98%; height: 90%; padding: 0 1; }
    PresetReportScreen #report-note { height: 3; }
    """

    def __init__(
        self,
        title: str,
        report: Sequence[KeyReport],
        downloads: Sequence[DownloadOffer] = (),
        *,
        verb: str = "",
    ) -> None:
        super().__init__()
        self._title, self._verb = title, verb
        self._rows = tuple(report_rows(report, downloads))
        self._list: RowList[Row] = RowList(
            draw_report, id="report-list", is_heading=lambda row: isinstance(row, str)
        )

    def compose(self) -> ComposeResult:
        """Lay out the rows above the note of the one under the cursor."""
        with Vertical() as window:
            window.border_title = safe(self._title)
            window.border_subtitle = f"ctrl+s {self._verb} · Esc closes" if self._verb else "Esc closes"
            yield self._list
            yield Static("", id="report-note", markup=False)

    def on_mount(self) -> None:
        """Show what needs attention first."""
        self._list.show(self._rows)
        self._list.focus()
        self.call_after_refresh(self._list.scroll_home, animate=False)

    def on_row_list_highlighted(self) -> None:
        """Tell the whole of the row under the cursor."""
        self.query_one("#report-note", Static).update(safe(_told(self._list.current)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer to go on where there is something to do."""
        return bool(self._verb) if action == "go_on" else True

    def action_go_on(self) -> None:
        """Go on."""
        self.dismiss(True)


def report_rows(report: Sequence[KeyReport], downloads: Sequence[DownloadOffer]) -> Iterator[Row]:
    """Yield the rows by status, what needs attention first, and files to fetch before all."""
    if downloads:
        yield f"to fetch ({len(downloads)}): nothing is fetched unasked"
        yield from downloads
    for status in ORDER:
        group = [item for item in report if item.status == status]
        if group:
            yield f"{status} ({len(group)}): {MEANING[status]}"
            yield from group


def draw_report(row: Row, width: int) -> Sequence[Cell]:
    """Return the cells of a row."""
    if isinstance(row, str):
        return [(fit(f" {row}", width), "row--head")]
    if isinstance(row, DownloadOffer):
        return [(fit(f"   {row.file_name}, for {row.key}", width), "row--accent")]
    rest = max(0, width - _KEY - _VALUE - 7)
    return [
        (f"   {fit(row.key, _KEY)}  ", LOOKS[row.status]),
        (f"{fit(_value(row), _VALUE)}  ", "row--text"),
        (fit(_became(row), rest), "row--quiet"),
    ]


def _value(row: KeyReport) -> str:
    return "" if row.value is None else msgspec.json.encode(row.value).decode()


def _became(row: KeyReport) -> str:
    return "; ".join(part for part in (f"→ {row.setting}" if row.setting else "", row.note) if part)


def _told(row: Row | None) -> str:
    if isinstance(row, DownloadOffer):
        return " ".join(row.urls)
    return f"{row.key} = {_value(row)}  {_became(row)}" if isinstance(row, KeyReport) else ""
