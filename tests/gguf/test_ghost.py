"""A ghost says of a model's weights what the model says, and nothing of its vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import Header
from kobold_tui.gguf.ghost import MAX_ENTRY_BYTES, Ghost, invent_ghost, make_ghost
from kobold_tui.gguf.header import read_header

Make = Callable[..., Any]
Write = Callable[..., Path]
U32, F32, STRING = 4, 6, 8


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Ghost], Header]:
    """Read a ghost as a file, which is a hole but for its head."""

    def as_file(ghost: Ghost) -> Header:
        path = tmp_path / "ghost.gguf"
        with path.open("wb") as file:
            file.write(ghost.head)
            file.truncate(ghost.file_bytes)
        return read_header(path)

    return as_file


def shapes(header: Header) -> list[tuple[str, tuple[int, ...], int, int]]:
    return [(row.name, row.dimensions, row.type_id, row.n_bytes) for row in header.tensors]


def test_a_ghost_has_the_same_tensors_and_the_same_metadata(
    small_model: Make, write: Write, read: Callable[[Ghost], Header]
) -> None:
    model = read_header(write(small_model().to_bytes()))
    ghost = read(make_ghost(model))
    kept = {key: value for key, value in model.metadata.items() if not key.startswith("tokenizer.")}
    assert shapes(ghost) == shapes(model)
    assert ghost.metadata == {**kept, "tokenizer.ggml.model": "none", "llama.vocab_size": 100}


def test_values_keep_their_types(small_model: Make, write: Write) -> None:
    model = small_model()
    head = make_ghost(read_header(write(model.to_bytes()))).head
    for key, body in model.metadata:
        assert ((model.string(key) + body) in head) is not key.startswith("tokenizer.")


def test_the_vocabulary_costs_nothing(tmp_path: Path, gguf: Any, write: Write) -> None:
    gguf.add("general.architecture", STRING, "llama")
    gguf.add_array("tokenizer.ggml.tokens", STRING, [f"token{number}" for number in range(50_000)])
    gguf.add("tokenizer.chat_template", STRING, "{{ messages }}" * 1000)
    model = read_header(write(gguf.to_bytes()))
    ghost = make_ghost(model)
    assert len(ghost.head) < 200
    assert b"\x50\xc3\x00\x00" in ghost.head  # 50,000


def test_what_token_types_an_encoder_has_is_kept(gguf: Any, write: Write) -> None:
    gguf.add("general.architecture", STRING, "bert")
    gguf.add("tokenizer.ggml.token_type_count", U32, 2)
    gguf.add("tokenizer.ggml.bos_token_id", U32, 1)
    head = make_ghost(read_header(write(gguf.to_bytes()))).head
    assert b"token_type_count" in head
    assert b"bos_token_id" not in head


def test_parts_are_joined(
    small_model: Make, gguf: Any, write: Write, read: Callable[[Ghost], Header]
) -> None:
    first = small_model()
    first.add("split.count", U32, 2)
    first.add("split.tensors.count", U32, 3)
    path = write(first.to_bytes(), "model-00001-of-00002.gguf")
    gguf.add("split.no", U32, 1)
    gguf.add_tensor("blk.1.attn_q.weight", [64, 3], 0, 0)
    gguf.data = b"\0" * 64 * 3 * 4
    write(gguf.to_bytes(), "model-00002-of-00002.gguf")
    model = read_header(path)
    ghost = read(make_ghost(model))
    assert shapes(ghost) == shapes(model)
    assert len(ghost.tensors) == 3
    assert not [key for key in ghost.metadata if key.startswith("split.")]


def test_the_alignment_of_the_file_is_kept(gguf: Any, write: Write, read: Callable[[Ghost], Header]) -> None:
    gguf.add("general.alignment", U32, 64)
    gguf.add_tensor("one", [3], 0, 0)
    gguf.add_tensor("two", [3], 0, 64)
    header = gguf.header()
    content = header + b"\0" * (-len(header) % 64) + b"\0" * 128
    ghost = read(make_ghost(read_header(write(content))))
    assert [row.offset for row in ghost.tensors] == [0, 64]


def test_long_texts_are_left_out_and_too_many_are_refused(gguf: Any, write: Write) -> None:
    gguf.add("general.license", STRING, "x" * MAX_ENTRY_BYTES)
    assert len(make_ghost(read_header(write(gguf.to_bytes()))).head) < 200
    for number in range(300):
        gguf.add(f"general.text{number}", STRING, "x" * (MAX_ENTRY_BYTES - 100))
    with pytest.raises(ModelFileError, match="of metadata beside its vocabulary"):
        make_ghost(read_header(write(gguf.to_bytes())))


def test_a_file_for_other_processors_has_no_ghost(small_model: Make, write: Write) -> None:
    with pytest.raises(ModelFileError, match="big-endian"):
        make_ghost(read_header(write(small_model(order=">").to_bytes())))


def test_a_file_that_is_gone_or_cut_meanwhile_is_an_error(small_model: Make, write: Write) -> None:
    path = write(small_model().to_bytes())
    model = read_header(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ModelFileError):
        make_ghost(model)
    path.unlink()
    with pytest.raises(ModelFileError, match="does not exist"):
        make_ghost(model)


def test_an_invented_model_is_read_as_it_was_meant(
    small_model: Make, write: Write, read: Callable[[Ghost], Header]
) -> None:
    tensors = read_header(write(small_model().to_bytes())).tensors
    metadata: dict[str, int | float | str] = {"general.architecture": "llama", "a": 7, "b": 0.5}
    header = read(invent_ghost(metadata, [msgspec.structs.replace(row, offset=0) for row in tensors]))
    assert header.metadata == metadata
    assert shapes(header) == [(row.name, row.dimensions, row.type_id, row.n_bytes) for row in tensors]
