"""Ten minutes as a graph: what is unknown stays empty, zero is drawn, and time moves on by whole cells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from kobold_tui.tui.widgets.history_graph import area, axis, cell_number, cell_seconds, points

NOW, WIDTH = 6000.0, 10
shares = st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=2, max_size=60).filter(
    lambda values: len(values) % 2 == 0
)


def test_a_cell_stands_for_its_part_of_ten_minutes() -> None:
    assert cell_seconds(WIDTH) == 60.0
    assert cell_number(NOW, WIDTH) == cell_number(NOW + 59.9, WIDTH)
    assert cell_number(NOW, WIDTH) != cell_number(NOW + 60, WIDTH)


def test_the_newest_point_is_the_last_span_that_is_over() -> None:
    found = points([(NOW - 20, 0.4), (NOW - 10, 0.6), (NOW + 5, 1.0)], NOW + 10, WIDTH)
    assert found == (*[None] * 19, 0.5)


def test_what_has_only_begun_is_shown_until_a_span_is_over() -> None:
    assert points([(NOW + 1, 0.25)], NOW + 2, WIDTH) == (*[None] * 18, 0.25, None)


def test_what_is_older_than_ten_minutes_is_left_out() -> None:
    assert points([(NOW - 700, 1.0), (NOW - 10, 0.5)], NOW, WIDTH).count(None) == 19


def test_nothing_known_is_blank_and_zero_is_a_dot() -> None:
    assert area((None, None), 2) == [" ", " "]
    assert area((0.0, 0.0), 2) == [" ", "⣀"]
    assert area((1.0, 0.5), 2) == ["⡇", "⣿"]


@given(shares, st.integers(1, 8))
def test_a_graph_has_its_size_and_more_never_looks_like_less(values: list[float | None], height: int) -> None:
    rows = area(tuple(values), height)
    assert [len(row) for row in rows] == [len(values) // 2] * height
    more = area(tuple(None if value is None else min(1.0, value + 0.2) for value in values), height)
    assert dots(more) >= dots(rows)


def dots(rows: list[str]) -> int:
    return sum((ord(character) - 0x2800).bit_count() for row in rows for character in row if character != " ")


@given(st.integers(1, 120), st.sampled_from(["load", "memory"]))
def test_the_axis_is_as_wide_as_its_graph(width: int, label: str) -> None:
    text = "".join(part for part, _ in axis(label, width))
    assert cell_len(text) == width
    if width >= 40:
        assert text.startswith("10 min ")
        assert text.endswith(" now")
        assert text[width // 2] == "5"
        assert f" {label} " in text
