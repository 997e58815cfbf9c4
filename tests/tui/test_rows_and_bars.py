"""Lists, tabs, the status row and the key row draw exactly their width and report what the user did."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.binding import Binding

from kobold_tui.tui.theming import variable_defaults
from kobold_tui.tui.widgets.fit_text import fit, fit_path, fit_right
from kobold_tui.tui.widgets.key_bar import KeyBar, fitting
from kobold_tui.tui.widgets.row_list import Cell, RowList
from kobold_tui.tui.widgets.status_line import StatusLine
from kobold_tui.tui.widgets.tab_strip import Tab, TabStrip


class Host(App[None]):
    """Shows one of each."""

    CSS_PATH = "../../kobold_tui/tui/app.tcss"
    BINDINGS = [Binding("ctrl+s", "save", "Save everything there is")]  # noqa: RUF012 - declared so by App

    def __init__(self, rows: int = 1000) -> None:
        super().__init__()
        self.rows = rows
        self.seen: list[object] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield TabStrip((Tab("chat", "Chat", "F4"), Tab("logs", "Logs", "F8")), id="tabs")
        yield RowList(draw, id="rows")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(RowList).show([f"row {number}" for number in range(self.rows)])
        self.query_one(RowList).focus()

    def on_row_list_selected(self, event: RowList.Selected) -> None:
        self.seen.append(event.item)

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        self.seen.append(event.tab)


def draw(item: str, width: int) -> Sequence[Cell]:
    return [(fit(item, width), "row--text")]


async def test_enter_opens_the_row_under_the_cursor() -> None:
    async with Host().run_test() as pilot:
        await pilot.press("down", "j", "up", "enter")
        assert pilot.app.seen == ["row 1"]  # type: ignore[attr-defined]


async def test_the_cursor_stays_in_view_and_inside_the_list() -> None:
    async with Host().run_test() as pilot:
        rows = pilot.app.query_one(RowList)
        await pilot.press("end")
        assert rows.cursor == 999
        assert rows.scroll_offset.y + rows.size.height >= 1000
        await pilot.press("down", "home", "up", "pagedown")
        assert rows.cursor == rows.size.height - 1


async def test_the_cursor_stays_on_its_row_when_rows_arrive() -> None:
    async with Host(3).run_test() as pilot:
        rows = pilot.app.query_one(RowList)
        await pilot.press("end")
        rows.show(["earlier", "row 0", "row 1", "row 2", "later"])
        assert rows.current == "row 2"


async def test_a_cursor_that_nobody_moved_stays_at_the_top_when_rows_arrive() -> None:
    async with Host(1).run_test() as pilot:
        rows = pilot.app.query_one(RowList)
        rows.show(["earlier", "row 0"])
        assert rows.current == "earlier"
        await pilot.press("down")
        rows.show(["first", "earlier", "row 0"])
        assert rows.current == "row 0"


async def test_an_empty_list_has_no_row_to_open() -> None:
    async with Host(0).run_test() as pilot:
        await pilot.press("enter", "down", "end")
        assert pilot.app.query_one(RowList).current is None
        assert pilot.app.seen == []  # type: ignore[attr-defined]


async def test_a_double_click_opens_a_row_and_a_click_on_a_tab_chooses_it() -> None:
    async with Host().run_test() as pilot:
        await pilot.click(RowList, offset=(3, 2), times=2)
        await pilot.click(TabStrip, offset=(14, 0))
        assert pilot.app.seen == ["row 2", "logs"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [8, 20, 40, 80, 200])
async def test_every_row_is_exactly_as_wide_as_the_terminal(width: int) -> None:
    async with Host().run_test(size=(width, 12)) as pilot:
        status = pilot.app.query_one(StatusLine)
        status.left = (
            (" kobold-tui ", "status--brand"),
            ("模型 with a very long name indeed", "status--text"),
        )
        status.right = (("RAM 3.1/23.5 GiB ", "status--quiet"),)
        await pilot.pause()
        for widget in (
            status,
            pilot.app.query_one(TabStrip),
            pilot.app.query_one(KeyBar),
            pilot.app.query_one(RowList),
        ):
            assert widget.render_line(0).cell_length == widget.size.width


async def test_the_key_row_ends_with_more() -> None:
    async with Host().run_test(size=(60, 12)) as pilot:
        text = pilot.app.query_one(KeyBar).render_line(0).text
        assert "Save everything there is" in text
        assert text.rstrip().endswith("F1 more")


def test_keys_that_do_not_fit_are_left_out_whole() -> None:
    keys = [("ctrl+a", "First"), ("ctrl+e", "A very long description"), ("x", "y")]
    assert fitting(keys, 27) == [("ctrl+a", "First"), ("F1", "more")]
    assert fitting(keys, 5) == [("F1", "more")]


@given(st.text(), st.integers(0, 60))
def test_fitted_text_has_exactly_its_width_and_no_control_characters(text: str, width: int) -> None:
    for fitted in (fit(text, width), fit_right(text, width), fit_path(text, width)):
        assert cell_len(fitted) == width
        assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in fitted)


def test_cut_text_is_marked() -> None:
    assert fit("a long name", 6) == "a lon…"
    assert fit_path("/models/some/deep/place/file.gguf", 20) == "/model…ace/file.gguf"
    assert fit_right("7", 3) == "  7"
