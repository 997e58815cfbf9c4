"""The memory bar: always as wide as asked for, and more bytes never look like fewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App
from textual.widget import Widget

from kobold_tui.tui.widgets.vram_bar import (
    FILLS,
    InstanceKind,
    Segment,
    SegmentKind,
    VramBar,
    bar_cells,
    legend,
)

GIB = 1024**3
kinds: tuple[SegmentKind, ...] = (*get_args(InstanceKind), *get_args(get_args(SegmentKind)[1]))
segments = st.lists(
    st.builds(Segment, st.sampled_from(kinds), st.just("part"), st.integers(0, 100 * GIB)), max_size=8
)
totals = st.integers(0, 200 * GIB)
widths = st.integers(0, 300)


def used_cells(cells: Sequence[tuple[str, str]]) -> int:
    return sum(len(text) for kind, text in cells if kind not in {"free", "reserve"})


@given(segments, totals, widths, st.integers(0, 300 * GIB))
def test_the_bar_is_as_wide_as_asked_for(
    parts: list[Segment], total: int, width: int, reserve_bytes: int
) -> None:
    cells = bar_cells(parts, total, width, reserve_bytes)
    assert sum(len(text) for _, text in cells) == width
    assert all(text for _, text in cells)


@given(segments, st.integers(1, 200 * GIB), st.integers(1, 300), st.integers(0, 8), st.integers(0, GIB))
def test_more_bytes_never_take_fewer_cells(
    parts: list[Segment], total: int, width: int, place: int, more: int
) -> None:
    grown = [
        Segment(part.kind, part.label, part.n_bytes + (more if number == place else 0))
        for number, part in enumerate(parts)
    ]
    assert used_cells(bar_cells(grown, total, width)) >= used_cells(bar_cells(parts, total, width))


@given(segments, st.integers(1, 200 * GIB), st.integers(1, 300))
def test_a_sign_stands_at_the_end_exactly_when_it_does_not_fit(
    parts: list[Segment], total: int, width: int
) -> None:
    too_much = sum(part.n_bytes for part in parts) > total
    assert (bar_cells(parts, total, width)[-1][0] == "over") == too_much


def test_parts_stand_in_order_with_fills_of_their_own() -> None:
    parts = [Segment("model", "weights", 4), Segment("kv", "cache", 2), Segment("other", "others", 1)]
    assert bar_cells(parts, 10, 10) == [("model", "████"), ("kv", "▓▓"), ("other", "▚"), ("free", "···")]
    assert len(set(FILLS.values())) == len(FILLS)


def test_the_end_is_drawn_to_an_eighth_of_a_cell() -> None:
    assert bar_cells([Segment("model", "", 11)], 32, 4) == [("model", "█"), ("model", "▍"), ("free", "··")]


def test_a_mark_stands_where_the_reserve_begins() -> None:
    cells = bar_cells([Segment("model", "", 2)], 10, 10, reserve_bytes=3)
    assert "".join(text for _, text in cells) == "██·····│··"


def test_the_legend_names_what_holds_memory() -> None:
    assert legend([Segment("model", "weights", 4), Segment("kv", "cache", 0)]) == [("model", "█ weights")]


async def test_the_widget_shows_new_figures(host: Callable[[Widget], App[None]]) -> None:
    bar = VramBar()
    async with host(bar).run_test(size=(20, 3)) as pilot:
        bar.show([Segment("model", "weights", 5)], 10)
        await pilot.pause()
        assert bar.size.height == 1
        assert bar.render_line(0).text == "█" * 10 + "·" * 10
