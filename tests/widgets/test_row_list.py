"""A list that changes while somebody looks at it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App, ComposeResult

from kobold_tui.tui.theming import variable_defaults
from kobold_tui.tui.widgets.fit_text import fit
from kobold_tui.tui.widgets.row_list import Cell, RowList

Item = tuple[str, int]


class Host(App[None]):
    """A list of names, each with a version; a name in capitals is a heading."""

    CSS_PATH = "../../kobold_tui/tui/app.tcss"

    def __init__(self, items: Sequence[Item]) -> None:
        super().__init__()
        self.items = items
        self.seen: list[object] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def compose(self) -> ComposeResult:
        yield RowList[Item](draw, identity=lambda item: item[0], is_heading=lambda item: item[0].isupper())

    def on_mount(self) -> None:
        self.rows.show(self.items)
        self.rows.focus()

    def on_row_list_highlighted(self, event: RowList.Highlighted) -> None:
        self.seen.append(event.item)

    @property
    def rows(self) -> RowList[Item]:
        return self.query_one(RowList)


def draw(item: Item, width: int) -> Sequence[Cell]:
    return [(fit(f"{item[0]} {item[1]}", width), "row--text")]


def numbered(count: int) -> list[Item]:
    return [(f"row {number}", 0) for number in range(count)]


async def test_the_cursor_stays_on_a_row_that_has_changed() -> None:
    app = Host(numbered(3))
    async with app.run_test() as pilot:
        await pilot.press("down")
        app.rows.show([("earlier", 0), ("row 0", 0), ("row 1", 7), ("row 2", 0)])
        await pilot.pause()
        assert app.rows.current == ("row 1", 7)
        assert app.seen[-1] == ("row 1", 7)


async def test_the_row_under_the_cursor_stays_at_its_height_when_rows_come_before_it() -> None:
    app = Host(numbered(200))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press("pagedown", "pagedown", "up", "up", "up")
        height = app.rows.cursor - app.rows.scroll_offset.y
        app.rows.show([*[(f"new {number}", 0) for number in range(50)], *numbered(200)])
        await pilot.pause()
        assert app.rows.current == ("row 19", 0)
        assert app.rows.cursor - app.rows.scroll_offset.y == height


async def test_a_cursor_whose_row_has_gone_stays_near() -> None:
    app = Host(numbered(10))
    async with app.run_test() as pilot:
        await pilot.press("end")
        app.rows.show(numbered(9))
        assert app.rows.current == ("row 8", 0)
        app.rows.show([item for item in numbered(9) if item[0] != "row 3"])
        assert app.rows.current == ("row 8", 0)


async def test_from_the_top_means_the_first_row_that_is_no_heading() -> None:
    app = Host(numbered(100))
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press("end")
        app.rows.show([("HEADING", 0), *numbered(50)], from_top=True)
        await pilot.pause()
        assert app.rows.current == ("row 0", 0)
        assert app.rows.scroll_offset.y == 0


async def test_a_list_with_a_scrollbar_has_no_second_one() -> None:
    app = Host(numbered(3))
    async with app.run_test(size=(40, 12)) as pilot:
        app.rows.show(numbered(100))
        await pilot.pause()
        assert app.rows.show_vertical_scrollbar
        assert not app.rows.show_horizontal_scrollbar
        assert app.rows.row_width == 39
