"""Cutting Markdown into blocks: never too early, and the same however the text arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.segment import Segment

from kobold_tui.tui.widgets.transcript_blocks import (
    BlockSplitter,
    code_blocks,
    displayable,
    split_blocks,
)
from kobold_tui.tui.widgets.transcript_markdown import parse
from kobold_tui.tui.widgets.transcript_render import BlockRenderer, TranscriptStyles

LINES = [
    "",
    "",
    "   ",
    "Plain words.",
    "two  ",
    "# Heading",
    "- item",
    "* other",
    "  - nested",
    "    deep or code",
    "1. one",
    "12) twelve",
    "  continued",
    "> quote",
    "> - quoted item",
    "```python",
    "```",
    "~~~",
    "   ```",
    "  ```js",
    "- ```sh",
    "````",
    "inline ```code``` here",
    "| a | b |",
    "|---|--:|",
    "| 1 | 2 |",
    "---",
    "===",
    "***",
    "<div>",
    "[ref]: http://example.org",
    "\u00a0",
    "12",
]
documents = st.lists(st.sampled_from(LINES), max_size=24).map("\n".join)


def outline(text: str) -> list[tuple[str, str]]:
    return [(token.type, token.content.rstrip()) for token in parse(text)]


def incremental(text: str, cuts: list[int]) -> list[str]:
    splitter = BlockSplitter()
    borders = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    blocks = [block for a, b in pairwise(borders) for block in splitter.feed(text[a:b])]
    tail = splitter.tail.rstrip("\n")
    return [*blocks, tail] if tail.strip(" \t\n") else blocks


@settings(max_examples=400, deadline=None, derandomize=True)
@given(documents)
def test_blocks_parse_to_what_the_whole_text_parses_to(text: str) -> None:
    together = [token for block in split_blocks(text) for token in outline(block)]
    assert together == outline(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(documents, st.lists(st.integers(0, 500), max_size=12))
def test_the_cut_does_not_depend_on_how_the_text_arrives(text: str, cuts: list[int]) -> None:
    assert incremental(text, cuts) == split_blocks(text)


@settings(max_examples=40, deadline=None)
@given(documents, st.lists(st.integers(0, 500), max_size=6), st.integers(20, 100))
def test_incremental_blocks_give_the_rows_of_closed_ones(text: str, cuts: list[int], width: int) -> None:
    renderer, mark = BlockRenderer(TranscriptStyles(), width), Segment("  ")
    arrived = [row.text for block in incremental(text, cuts) for row in renderer.markdown(block, mark)]
    at_once = [row.text for block in split_blocks(text) for row in renderer.markdown(block, mark)]
    assert arrived == at_once


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=300), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_pieces_of_the_open_block_leave_no_line_out(lines: list[str], kind: int) -> None:
    start = ["```python", "- first", "1. first", "Words"][kind]
    splitter = BlockSplitter()
    splitter.feed("\n".join([start, *lines]))
    shown = [line for piece in splitter.open_pieces() for line in piece.text.split("\n") if line.strip()]
    kept = iter(shown)
    assert all(line in kept for line in splitter.tail.split("\n") if line.strip())


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("one\n\ntwo", ["one", "two"]),
        ("- a\n\n- b\n\n  more of b\n\ntext", ["- a\n\n- b\n\n  more of b", "text"]),
        ("```\na\n\nb\n```\ntext", ["```\na\n\nb\n```", "text"]),
        ("Here:\n```py\nx\n```", ["Here:", "```py\nx\n```"]),
        ("> a\n> b\n\nc", ["> a\n> b", "c"]),
        ("| a |\n|---|\n| 1 |\n\nc", ["| a |\n|---|\n| 1 |", "c"]),
    ],
)
def test_a_block_ends_where_nothing_can_change_it(text: str, blocks: list[str]) -> None:
    assert split_blocks(text) == blocks


def test_a_paragraph_closes_as_soon_as_the_next_block_begins() -> None:
    splitter = BlockSplitter()
    assert splitter.feed("one\n\n") == []
    assert splitter.feed("t") == ["one"]
    assert splitter.tail == "t"


def test_a_list_stays_open_until_the_line_can_be_no_item() -> None:
    splitter = BlockSplitter()
    assert splitter.feed("1. a\n\n2") == []
    assert splitter.feed(".") == []
    assert splitter.feed("5 metres") == ["1. a"]


def test_a_long_open_fence_is_shown_in_pieces_that_stay_the_same() -> None:
    splitter = BlockSplitter()
    splitter.feed("```python\n" + "x = 1\n" * 200)
    before = splitter.open_pieces()
    splitter.feed("y = 2\n" * 3)
    after = splitter.open_pieces()
    assert len(before) > 5
    assert after[: len(before) - 1] == before[:-1]
    assert [piece.gap for piece in before].count(True) == 1


def test_what_could_act_on_the_terminal_is_made_visible() -> None:
    shown = displayable("a\x1b[31mred\x1b]0;title\x07 \x9b2J \x7f\r\nb \u202eevil \ud800")
    assert shown == "a␛[31mred␛]0;title␇ �2J ␡\nb evil �"


@given(st.text())
def test_nothing_displayable_is_a_control_character(text: str) -> None:
    shown = displayable(text)
    assert all(char in "\t\n" or (ord(char) >= 0x20 and not 0x7F <= ord(char) < 0xA0) for char in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_code_blocks_are_the_insides_of_fences() -> None:
    text = "Text\n```python\na\n\nb\n```\n- item\n  ```sh\n  ls\n  ```\n~~~\n```\n~~~\n```\nopen"
    assert code_blocks(text) == ["a\n\nb", "ls", "```", "open"]
