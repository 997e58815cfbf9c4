"""Bytes to text: whole characters, no stop strings, thinking apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.engine.worker.reasoning import THINK, ReasoningSplit
from kobold_tui.engine.worker.text_stream import TextStream

_MARKERS = "<think>/ab\n"


def feed(stream: TextStream, pieces: list[bytes]) -> list[tuple[str, bool]]:
    shown: list[tuple[str, bool]] = []
    for piece in pieces:
        shown += [(delta.text, delta.reasoning) for delta in stream.feed(piece)]
        if stream.stop_string:
            break
    return shown + [(delta.text, delta.reasoning) for delta in stream.finish()]


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def joined(shown: list[tuple[str, bool]], *, reasoning: bool) -> str:
    return "".join(text for text, is_reasoning in shown if is_reasoning == reasoning)


@given(st.text(max_size=60), st.lists(st.integers(0, 4), max_size=40))
def test_any_cut_of_the_bytes_gives_the_same_text(text: str, sizes: list[int]) -> None:
    shown = feed(TextStream((), None), cut(text.encode(), sizes))
    assert joined(shown, reasoning=False) == text


@given(st.binary(max_size=60), st.lists(st.integers(0, 4), max_size=40))
def test_broken_bytes_become_replacement_characters(data: bytes, sizes: list[int]) -> None:
    shown = feed(TextStream((), None), cut(data, sizes))
    assert joined(shown, reasoning=False) == data.decode("utf-8", "replace")


def test_a_character_is_held_until_it_is_whole() -> None:
    stream = TextStream((), None)
    euro = "€".encode()
    assert stream.feed(euro[:1]) == []
    assert stream.feed(euro[1:2]) == []
    (delta,) = stream.feed(euro[2:])
    assert (delta.text, delta.n_tokens) == ("€", 3)


@given(st.text("abc", max_size=40), st.text("abc", min_size=1, max_size=4), st.lists(st.integers(0, 3)))
def test_text_ends_before_the_first_stop_string(text: str, stop: str, sizes: list[int]) -> None:
    stream = TextStream((stop,), None)
    shown = feed(stream, cut(text.encode(), sizes))
    assert joined(shown, reasoning=False) == text.partition(stop)[0]
    assert stream.stop_string == (stop if stop in text else "")


def test_nothing_is_held_back_that_cannot_begin_a_stop_string() -> None:
    stream = TextStream(("### User",), None)
    assert [delta.text for delta in stream.feed(b"hello #")] == ["hello "]
    assert [delta.text for delta in stream.feed(b"1")] == ["#1"]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_thinking_is_told_from_the_answer(sizes: list[int]) -> None:
    data = b"\n<think>\nlet me see <b>\n</think>\n\nIt is <think> 4."
    shown = feed(TextStream((), ReasoningSplit()), cut(data, sizes))
    assert joined(shown, reasoning=True) == "let me see <b>\n"
    assert joined(shown, reasoning=False) == "It is <think> 4."


def test_a_prompt_that_opened_the_thinking_is_gone_on_with() -> None:
    shown = feed(TextStream((), ReasoningSplit(inside=THINK)), [b"hmm</thi", b"nk>", b"yes"])
    assert shown == [("hmm", True), ("yes", False)]


@given(st.text(_MARKERS, max_size=40), st.lists(st.integers(0, 3), max_size=40))
def test_the_split_does_not_depend_on_the_cuts(text: str, sizes: list[int]) -> None:
    whole = feed(TextStream((), ReasoningSplit()), [text.encode()])
    pieces = feed(TextStream((), ReasoningSplit()), cut(text.encode(), sizes))
    for reasoning in (True, False):
        assert joined(pieces, reasoning=reasoning) == joined(whole, reasoning=reasoning)
