"""Lines of cells: exactly as wide as asked for, cut anywhere, and redrawn no further than they differ."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App
from textual.geometry import Region
from textual.widget import Widget

from kobold_tui.tui.widgets.cell_canvas import CellCanvas, Slice
from kobold_tui.tui.widgets.cells import Line, end_of_change, fit_line, split_line, two_ends, width_of

texts = st.text(st.sampled_from("ab· █▌界"), max_size=12)
cells = st.lists(st.tuples(texts, st.sampled_from(["text", "quiet", "warn"])), max_size=5)


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def columns(line: Line) -> list[tuple[str, str]]:
    """One entry a column: what is drawn there, and how."""
    return [
        (character, look)
        for text, look in line
        for character in text
        for _ in range(max(1, cell_len(character)))
    ]


@given(cells, st.integers(0, 60))
def test_a_line_is_as_wide_as_asked_for(parts: list[tuple[str, str]], width: int) -> None:
    assert width_of(fit_line(parts, width)) == width


def test_what_is_cut_off_leaves_a_mark() -> None:
    assert text_of(fit_line([("lantern", "text")], 5)) == "lant…"
    assert text_of(fit_line([("lamp", "text"), ("light", "quiet")], 4)) == "lam…"


def test_the_right_end_wins_where_both_do_not_fit() -> None:
    assert text_of(two_ends([("a long title", "title")], [("P0", "quiet")], 10)) == "a long …P0"


@given(cells, st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_pieces_have_their_widths_and_lose_nothing_that_fits(
    parts: list[tuple[str, str]], widths: list[int]
) -> None:
    line = fit_line(parts, sum(widths))
    pieces = split_line(line, widths)
    assert [width_of(piece) for piece in pieces] == widths
    if text_of(line).count("界") == 0:
        assert "".join(map(text_of, pieces)) == text_of(line)


def test_a_wide_character_on_a_cut_moves_to_the_right() -> None:
    left, right = split_line((("a界b ", "text"),), [2, 3])
    assert (text_of(left), text_of(right)) == ("a ", "界b")


@given(cells, cells, st.integers(1, 40))
def test_nothing_differs_behind_the_end_of_a_change(
    before: list[tuple[str, str]], after: list[tuple[str, str]], width: int
) -> None:
    old, new = fit_line(before, width), fit_line(after, width)
    end = end_of_change(old, new)
    assert columns(old)[end:] == columns(new)[end:]
    if columns(old) == columns(new):
        assert end <= width
    elif "界" not in text_of(old) + text_of(new):
        assert columns(old)[end - 1] != columns(new)[end - 1]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Region]]:
    """What slices ask to be written: their left edge, and the region inside of them."""
    found: list[tuple[int, Region]] = []
    refresh = Slice.refresh

    def noting(self: Slice, *regions: Region, **more: bool) -> Slice:
        found.extend((self.region.x, region) for region in regions)
        return refresh(self, *regions, **more)

    monkeypatch.setattr(Slice, "refresh", noting)
    return found


async def test_only_the_slice_with_the_change_is_drawn_and_only_up_to_its_end(
    host: Callable[[Widget], App[None]], drawn: list[tuple[int, Region]]
) -> None:
    canvas = CellCanvas()
    async with host(canvas).run_test(size=(30, 4)) as pilot:
        canvas.show([(("name   ", "quiet"), ("12 % of 100", "text"))] * 2, (7,), 18)
        await pilot.pause()
        drawn.clear()
        canvas.show(
            [
                (("name   ", "quiet"), ("12 % of 100", "text")),
                (("name   ", "quiet"), ("13 % of 100", "text")),
            ],
            (7,),
            18,
        )
        assert drawn == [(7, Region(0, 1, 2, 1))]
        await pilot.pause()
        assert canvas.text.splitlines()[1] == "name   13 % of 100"
        drawn.clear()
        canvas.show(canvas.lines, (7,), 18)
        assert drawn == []


async def test_a_canvas_grows_and_shrinks_with_its_lines(host: Callable[[Widget], App[None]]) -> None:
    canvas = CellCanvas()
    async with host(canvas).run_test(size=(30, 9)) as pilot:
        for count in (2, 5, 1):
            canvas.show([((f"line {number}", "text"),) for number in range(count)], (3,), 6)
            await pilot.pause()
            assert [each.size for each in canvas.query(Slice)] == [(3, count), (3, count)]
