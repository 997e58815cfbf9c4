"""A malformed file costs little memory and its reading comes to an end, however it was made to hurt."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import ArrayRef, Header
from kobold_tui.gguf.header import read_header
from kobold_tui.gguf.tensor_table import MAX_TENSORS
from kobold_tui.gguf.window import MAX_ARRAY_ITEMS

Write = Callable[..., Path]
MIB = 1024 * 1024
MOST = 64 * MIB


def read_within_bounds(path: Path, times: int = 1) -> Header | ModelFileError:
    """Read the file and return what came of it; `times` its cost may be 64 MiB at most."""
    tracemalloc.start()
    try:
        outcome: Header | ModelFileError = read_header(path)
    except ModelFileError as error:
        outcome = error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak * times < MOST, f"{peak * times / MIB:.0f} MiB"
    return outcome


def entries(gguf: Any, count: int, body: bytes) -> bytes:
    """Return a header of `count` entries that all have the same value."""
    start: bytes = b"GGUF" + gguf.pack("IQQ", 3, 0, count)
    return start + b"".join(gguf.string(f"k{number}") + body for number in range(count))


def test_many_arrays_of_numbers_are_kept_up_to_a_bound(gguf: Any, write: Write) -> None:
    body = gguf.pack("IIQ", 9, 0, 4096) + bytes(range(256)) * 16
    header = read_within_bounds(write(entries(gguf, 3000, body)))
    assert isinstance(header, Header)
    assert isinstance(header.metadata["k0"], tuple)
    assert isinstance(header.metadata["k2999"], ArrayRef)


def test_wide_texts_are_counted_by_the_memory_they_take(gguf: Any, write: Write) -> None:
    body = gguf.pack("I", 8) + gguf.string("😀" + "x" * (MIB - 8))
    refused = read_within_bounds(write(entries(gguf, 40, body)))
    assert "would have to be kept" in str(refused)


def test_a_text_of_more_than_a_mebibyte_is_walked_over(gguf: Any, write: Write) -> None:
    gguf.add("tokenizer.huggingface.json", 8, "x" * (3 * MIB))
    gguf.add("general.name", 8, "after it")
    header = read_within_bounds(write(gguf.to_bytes()))
    assert isinstance(header, Header)
    assert header.metadata["tokenizer.huggingface.json"] == ArrayRef(
        length=3 * MIB, element_type=0, offset=24 + 8 + 26 + 4 + 8
    )
    assert header.text("general.name") == "after it"


def test_many_short_texts_are_bounded(gguf: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kobold_tui.gguf.window.MAX_ARRAY_ITEMS", MAX_ARRAY_ITEMS // 10)
    body = gguf.pack("IIQ", 9, 8, 64) + gguf.string("ab") * 64
    header = read_within_bounds(write(entries(gguf, 420, body)), times=10)
    assert isinstance(header, Header)
    assert isinstance(header.metadata["k0"], tuple)
    assert isinstance(header.metadata["k419"], ArrayRef)


def test_as_many_tensors_as_are_allowed_cost_no_more(gguf: Any, write: Write) -> None:
    count = MAX_TENSORS // 8
    layout = struct.Struct("<Q21sIQQIQ")
    rows = (
        layout.pack(21, b"blk.%05d.attn_q.biasx" % n, 2, 2**20, 2**20, 24, n * 2**40) for n in range(count)
    )
    start: bytes = b"GGUF" + gguf.pack("IQQ", 3, count, 0)
    refused = read_within_bounds(write(start + b"".join(rows)), times=8)
    assert "its tensors reach to byte" in str(refused)


def test_a_header_has_an_upper_size(gguf: Any, tmp_path: Path) -> None:
    path = tmp_path / "hole.gguf"
    gguf.add_raw("hole", gguf.pack("IIQ", 9, 0, 2**40))
    path.write_bytes(gguf.to_bytes())
    with path.open("r+b") as file:
        file.truncate(2**41)
    assert "longer than 268,435,456 bytes" in str(read_within_bounds(path))


def test_strings_without_end_are_not_walked(
    gguf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kobold_tui.gguf.window.MAX_WALKED_STRINGS", 10_000)
    path = tmp_path / "empty-strings.gguf"
    gguf.add_array("once", 8, [""] * 6000)
    gguf.add_array("twice", 8, [""] * 6000)
    path.write_bytes(gguf.to_bytes())
    assert "more than 10,000 strings" in str(read_within_bounds(path))


def test_a_name_that_announces_endless_parts_is_no_part(gguf: Any, write: Write) -> None:
    header = read_header(write(gguf.to_bytes(), "model-00001-of-99999.gguf"))
    assert len(header.paths) == 1


def test_tensors_of_all_parts_are_bounded_together(
    gguf: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kobold_tui.gguf.header.MAX_TENSORS", 5)
    for number in range(4):
        gguf.add_tensor(f"w{number}", [32], 0, 128 * number)
    gguf.data = b"\0" * 512
    for part in (1, 2):
        path = write(gguf.to_bytes(), f"big-0000{part}-of-00002.gguf")
    with pytest.raises(ModelFileError, match="hold 8 tensors; more than 5 make no sense"):
        read_header(path)


def test_the_alignment_is_bounded(gguf: Any, write: Write) -> None:
    gguf.add_raw("general.alignment", gguf.pack("IQ", 10, 2**62))
    assert "more than 2,147,483,648" in str(read_within_bounds(write(gguf.to_bytes())))


@pytest.mark.skipif(sys.byteorder == "big", reason="tells apart from little-endian machines")
def test_the_byte_order_is_told(gguf: Any, write: Write) -> None:
    assert read_header(write(gguf.to_bytes())).big_endian is False
    swapped = b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + b"\0" * 8
    assert read_header(write(swapped, "swapped.gguf")).big_endian is True
