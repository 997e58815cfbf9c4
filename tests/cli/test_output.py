"""Text fits its place whatever it is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.cli.output import Column, below_home, cell_width, cut, one_line, printable, table

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)
COLUMNS = (
    Column(title="A", flexible=True),
    Column(title="SIZE", align="right"),
    Column(title="B", flexible=True, keep="end"),
)


@pytest.mark.parametrize(
    ("text", "width"), [("plain", 5), ("中文", 4), ("e\u0301", 1), ("👍", 2), ("", 0), ("a\u200db", 2)]
)
def test_width_counts_columns(text: str, width: int) -> None:
    assert cell_width(text) == width


@given(text=TEXT, width=st.integers(0, 40), end=st.booleans())
def test_cut_text_fits_and_marks_what_is_missing(text: str, width: int, end: bool) -> None:
    shown = cut(text, width, "end" if end else "start")
    assert cell_width(shown) <= width
    assert shown == text or "…" in shown or width == 0


@given(text=TEXT)
def test_nothing_printable_can_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in shown)
    assert "\n" not in one_line(text)


@given(names=st.lists(TEXT.filter(lambda text: "│" not in text), max_size=5))
def test_columns_begin_at_the_same_place_in_every_row(names: list[str]) -> None:
    columns = (Column(title="A"), Column(title="│"))
    lines = table(columns, [(name, "│") for name in names], None)
    assert len({cell_width(line[: line.index("│")]) for line in lines}) == 1


@given(rows=st.lists(st.tuples(TEXT, st.just("1 GiB"), TEXT), max_size=5), width=st.integers(20, 60))
def test_a_table_keeps_to_the_width_of_the_screen(rows: list[tuple[str, str, str]], width: int) -> None:
    assert all(cell_width(line) <= width for line in table(COLUMNS, rows, width))


def test_numbers_stand_at_the_right() -> None:
    lines = table(COLUMNS, [("a", "1", "x"), ("b", "1000", "y")], None)
    assert lines == ["A  SIZE  B", "a     1  x", "b  1000  y"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/a.gguf", "~/a.gguf"),
        ("in /home/me/a, b in /home/me/b", "in ~/a, b in ~/b"),
        ("/home/media/a and /mnt/home/me/a", "/home/media/a and /mnt/home/me/a"),
    ],
)
def test_paths_are_shown_below_home(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert below_home(text) == shown
