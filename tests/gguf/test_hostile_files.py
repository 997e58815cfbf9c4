"""Whatever is given as a model file, the answer is a header or a sentence, never a traceback or a hang."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.gguf.header import read_header

Make = Callable[..., Any]
Write = Callable[..., Path]


def refusal(path: Path) -> ModelFileError:
    """Read a file that must be refused and return the error, which always names the file and a remedy."""
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\0" * 4096, "nothing but zeros"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "looks like a web page"),
        (b"  \n<html><body>Sign in</body></html>", "looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n", "Git LFS pointer"),
        (b"Dear diary, today I wrote a model.\n", "it is text"),
        (b"PK\x03\x04" + b"\x9c" * 60, "PyTorch"),
        (b"tjgg" + b"\3\0\0\0" * 8, "older GGML"),
        (struct.pack("<Q", 40) + b'{"__metadata__":{}}', "safetensors"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "begins with the bytes 7f 45 4c 46"),
        (b"GGUF", "ends inside its header"),
        (b"GGUF" + struct.pack("<I", 3), "ends inside its header"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 77, 0, 0), "version 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "9,223,372,036,854,775,808 metadata entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "1,099,511,627,776 tensors"),
    ],
)
def test_a_file_that_is_no_model_is_named_with_the_reason(write: Write, content: bytes, reason: str) -> None:
    assert reason in refusal(write(content)).message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (struct.pack("<IQ", 8, 2**62), "claims to be 4,611,686,018,427,387,904 bytes long"),
        (struct.pack("<IQ", 8, 1000), "ends inside its header"),
        (struct.pack("<I", 99), "unknown value type 99"),
        (struct.pack("<IIQ", 9, 9, 1), "arrays of arrays"),
        (struct.pack("<IIQ", 9, 77, 1), "unknown element type 77"),
        (struct.pack("<IIQ", 9, 8, 2**61), "claims to hold 2,305,843,009,213,693,952 strings"),
        (struct.pack("<IIQ", 9, 4, 2**62), "claims to hold 4,611,686,018,427,387,904 numbers"),
        (struct.pack("<IIQQ", 9, 8, 70, 2**63) + b"\0" * 700, "the header goes on to byte"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_offset(
    gguf: Any, write: Write, body: bytes, reason: str
) -> None:
    gguf.add_raw("some.key", body)
    message = refusal(write(gguf.to_bytes())).message
    assert reason in message
    assert "at byte" in message


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (("w", [32], 31, 0), "q4_0_4_4, which llama.cpp no longer reads"),
        (("w", [32], 1000, 0), "unknown type 1000"),
        (("w", [33], 8, 0), "not whole blocks of 32"),
        (("w", [1, 1, 1, 1, 1], 0, 0), "has 5 dimensions"),
        (("w", [], 0, 0), "has 0 dimensions"),
        (("w", [32], 0, 17), "begin at 17 of the tensor data, not at 0"),
        (("w", [2**62, 2**62], 0, 0), "claims to have '4,611,686,018,427,387,904 × 4,611,"),
        (("w", [2**40], 0, 0), "its tensors reach to byte"),
        (("w", [32], 0, 2**63), "begin at 9,223,372,036,854,775,808 of the tensor data"),
        (("n" * 2000, [32], 0, 0), "a tensor's name claims to be 2,000 bytes long"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(
    gguf: Any, write: Write, tensor: tuple[str, list[int], int, int], reason: str
) -> None:
    gguf.add_tensor(*tensor)
    gguf.data = b"\0" * 1024
    assert reason in refusal(write(gguf.to_bytes())).message


def test_tensors_with_a_gap_between_them_are_refused(gguf: Any, write: Write) -> None:
    gguf.add_tensor("first", [32], 0, 0)
    gguf.add_tensor("second", [32], 0, 160)
    gguf.data = b"\0" * 1024
    assert "'second' begin at 160 of the tensor data, not at 128" in refusal(write(gguf.to_bytes())).message


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"GGUF" + struct.pack("<IQQ", 77, 0, 0), 4),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), 8),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), 16),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**40), 24),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 99), 33),
        (b"GGUF" + struct.pack("<IQQQ1sIQ", 3, 0, 1, 1, b"k", 8, 2**40), 37),
    ],
    ids=["version", "tensors", "entries", "key", "value type", "text"],
)
def test_the_offset_is_that_of_the_wrong_value(write: Write, content: bytes, offset: int) -> None:
    assert f"(at byte {offset:,})" in refusal(write(content)).message


@pytest.mark.parametrize("value", [0, 3, 2**32 - 1])
def test_an_alignment_that_is_no_power_of_two_is_refused(gguf: Any, write: Write, value: int) -> None:
    gguf.add("general.alignment", 4, value)
    assert "not a power of two" in refusal(write(gguf.to_bytes())).message


def test_keys_and_tensors_that_stand_twice_are_refused(gguf: Any, write: Write) -> None:
    gguf.add("a.key", 4, 1)
    gguf.add("a.key", 4, 2)
    assert "'a.key' stands there twice" in refusal(write(gguf.to_bytes())).message
    gguf.metadata.clear()
    gguf.add_tensor("w", [32], 0, 0)
    gguf.add_tensor("w", [32], 0, 128)
    gguf.data = b"\0" * 256
    assert "'w' stands there twice" in refusal(write(gguf.to_bytes())).message


def test_a_truncated_file_tells_expected_and_actual_size(small_model: Make, write: Write) -> None:
    content = small_model().to_bytes()
    error = refusal(write(content[:-1]))
    assert f"{len(content):,}" in error.message
    assert f"{len(content) - 1:,}" in error.message
    assert "cut short" in error.hint


def test_text_in_a_header_is_bounded_as_a_whole(
    gguf: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kobold_tui.gguf.window.MAX_KEPT_BYTES", 4000)
    for number in range(20):
        gguf.add(f"key{number}", 8, "x" * 90)
    assert "would have to be kept" in refusal(write(gguf.to_bytes())).message


def test_a_header_that_is_cut_anywhere_is_refused(small_model: Make, write: Write) -> None:
    model = small_model()
    header = model.header()
    for length in (*range(400), *range(400, len(header) - 250, 17), *range(len(header) - 250, len(header))):
        refusal(write(header[:length]))


def test_a_missing_file_a_folder_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "absent.gguf").message
    assert "is a folder" in refusal(tmp_path).message
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    assert "not a regular file" in refusal(pipe).message
    assert "null byte" in refusal(tmp_path / "nul\0.gguf").message
    with pytest.raises(ModelFileError, match="missing"):
        read_header(tmp_path / "nul\0-00001-of-00002.gguf")


def test_a_name_that_is_not_utf8_is_refused_in_words_that_are(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path / "bad") + b"\xff.gguf"))
    path.write_bytes(b"")
    with pytest.raises(ModelFileError, match="is not UTF-8") as caught:
        read_header(path)
    assert "bad?.gguf" in caught.value.message
    assert "Rename" in caught.value.hint


def test_a_file_that_shrinks_while_it_is_read_is_refused(
    gguf: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf.add_array("tokens", 8, ["x" * 50] * 1000)
    path = write(gguf.to_bytes())
    real_pread = os.pread

    def shrinking_pread(fd: int, n_bytes: int, offset: int) -> bytes:
        os.truncate(path, 4096)
        return real_pread(fd, n_bytes, offset)

    monkeypatch.setattr(os, "pread", shrinking_pread)
    assert "became shorter while it was read" in refusal(path).message


def test_control_characters_of_a_file_never_reach_a_message(gguf: Any, write: Write) -> None:
    gguf.add_raw("evil\x1b[2J", struct.pack("<I", 99))
    assert "\x1b" not in refusal(write(gguf.to_bytes())).message
