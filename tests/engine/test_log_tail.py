"""Whatever a process writes, the tail stays small and safe to print."""

from __future__ import annotations

import stat
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.engine.log_tail import CUT_MARK, LogFile, LogTail

hostile = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            b"\n",
            b"\r\n",
            b"\r",
            b"\x1b[31mred\x1b[0m",
            b"\x1b]0;title\x07",
            b"\x1b]52;c;eA==\x1b\\",
            b"\xc3",
            b"\x9b",
        ]
    ),
)


def tail_of(*pieces: bytes, max_lines: int = 50, max_bytes: int = 4096, max_line: int = 40) -> LogTail:
    tail = LogTail(max_lines=max_lines, max_bytes=max_bytes, max_line=max_line)
    for piece in pieces:
        tail.feed(piece)
    return tail


@given(st.lists(hostile, max_size=30))
def test_what_comes_out_is_printable_and_within_its_bounds(pieces: list[bytes]) -> None:
    tail = tail_of(*pieces, max_lines=5, max_bytes=120, max_line=20)
    tail.end()
    lines = tail.snapshot()
    assert len(lines) <= 5
    assert sum(len(line.encode()) for line in lines) <= 120
    for line in lines:
        assert len(line) <= 20 * 4 + len(CUT_MARK)
        assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in line)


@given(st.lists(hostile, max_size=20), st.data())
def test_where_the_bytes_are_cut_makes_no_difference(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    at_once, in_parts = tail_of(whole), tail_of(*parts)
    at_once.end()
    in_parts.end()
    assert in_parts.snapshot() == at_once.snapshot()


@given(st.lists(st.text("abc äö漢", min_size=1, max_size=30).map(str.rstrip).filter(bool), max_size=30))
def test_ordinary_lines_come_out_as_they_went_in(lines: list[str]) -> None:
    tail = tail_of("".join(f"{line}\n" for line in lines).encode())
    assert tail.snapshot() == tuple(lines)


def test_a_line_without_its_newline_is_shown_and_goes_on() -> None:
    tail = tail_of(b"first\nload", b"ing")
    assert tail.snapshot() == ("first", "loading")
    tail.feed(b" done\n")
    assert tail.snapshot() == ("first", "loading done")


def test_the_oldest_lines_make_room() -> None:
    tail = tail_of(*(f"line {n}\n".encode() for n in range(100)), max_lines=3)
    assert tail.snapshot() == ("line 97", "line 98", "line 99")
    assert tail.last(2) == ("line 98", "line 99")


def test_a_line_of_megabytes_is_cut_with_a_mark() -> None:
    tail = tail_of(*[b"x" * 65536] * 80, b"\nafter\n")
    assert tail.snapshot() == ("x" * 40 + CUT_MARK, "after")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[1;31merror\x1b[0m: no\n", "error: no"),
        (b"\x1b]0;evil title\x07ok\n", "ok"),
        (b"\x1b]52;c;ZXZpbA==\x1b\\ok\n", "ok"),
        (b"\x1bP+q544e\x1b\\ok\n", "ok"),
        (b"a\x08\x00b\x7f\n", "ab"),
        (b"\xff\xfe bad\n", "\ufffd\ufffd bad"),
        ("safe\u202eevil\n".encode(), "safeevil"),
        (b"a\tb\n", "a    b"),
    ],
)
def test_nothing_that_steers_a_terminal_gets_through(written: bytes, shown: str) -> None:
    assert tail_of(written).snapshot() == (shown,)


def test_the_log_file_is_private_and_holds_every_line(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "model.log"
    tail = LogTail(max_lines=1, log_file=LogFile(path))
    tail.feed(b"one\n\x1b[1mtwo\x1b[0m\nthr")
    tail.feed(b"ee")
    tail.end()
    assert path.read_text() == "one\ntwo\nthree\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_log_file_that_is_too_large_makes_way_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "model.log"
    tail = LogTail(log_file=LogFile(path, rotate_bytes=1000))
    for number in range(400):
        tail.feed(f"line {number:04}\n".encode())
    tail.end()
    old = path.with_name("model.log.1")
    assert max(path.stat().st_size, old.stat().st_size) <= 1010
    assert sorted(item.name for item in tmp_path.iterdir()) == ["model.log", "model.log.1"]
    assert (old.read_text() + path.read_text()).endswith("line 0398\nline 0399\n")


def test_a_log_file_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    tail = LogTail(log_file=LogFile(blocked / "model.log"))
    tail.feed(b"still here\n")
    tail.end()
    assert tail.snapshot() == ("still here",)
