"""What loads took beside their buffers is kept, and nonsense is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kobold_tui.storage.overheads import KEPT_LOADS, LARGEST_BYTES, OverheadFile

CARD = "L4 | 550"


def test_nothing_was_learned_at_first(tmp_path: Path) -> None:
    assert OverheadFile(tmp_path / "o.json").of(CARD) == 0


def test_the_median_of_the_last_loads_holds_also_for_the_next_start(tmp_path: Path) -> None:
    file = OverheadFile(tmp_path / "folder" / "o.json")
    for size in (500, 100, 300):
        file.learn(CARD, size)
    assert file.of(CARD) == 300
    again = OverheadFile(tmp_path / "folder" / "o.json")
    assert again.of(CARD) == 300
    for _ in range(KEPT_LOADS):
        again.learn(CARD, 900)
    assert again.of(CARD) == 900
    assert again.of("another card") == 0


@pytest.mark.parametrize("n_bytes", [-1, LARGEST_BYTES + 1])
def test_what_cannot_be_an_overhead_is_left_out(tmp_path: Path, n_bytes: int) -> None:
    file = OverheadFile(tmp_path / "o.json")
    file.learn(CARD, 100)
    file.learn(CARD, n_bytes)
    assert file.of(CARD) == 100


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"a": 3}', b"\xff", b"{" * 10_000, b'{"L4 | 550": [-5]}', b" " * 2_000_000]
)
def test_a_broken_file_counts_as_empty_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "o.json"
    path.write_bytes(content)
    file = OverheadFile(path)
    assert file.of(CARD) == 0
    file.learn(CARD, 7)
    assert OverheadFile(path).of(CARD) == 7


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = OverheadFile(tmp_path / "file" / "o.json")
    file.learn(CARD, 5)
    assert file.of(CARD) == 5
