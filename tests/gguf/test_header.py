"""Headers of whole models are read as they are."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import ArrayRef
from kobold_tui.gguf.ggml_types import TENSOR_TYPES
from kobold_tui.gguf.header import read_header
from kobold_tui.gguf.window import Window

Make = Callable[..., Any]
Write = Callable[..., Path]


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("version", [2, 3])
def test_reads_metadata_and_tensors(small_model: Make, write: Write, order: str, version: int) -> None:
    content = small_model(order, version).to_bytes()
    header = read_header(write(content))
    assert header.version == version
    assert header.architecture == "llama"
    assert header.n_layer == 2
    assert header.metadata["llama.rope.freq_base"] == 10000.0
    assert header.metadata["tokenizer.ggml.add_bos_token"] is True
    assert header.metadata["llama.attention.head_count_kv"] == (2, -1)
    assert header.metadata["general.languages"] == ("en", "ελ")
    assert [tensor.name for tensor in header.tensors] == ["token_embd.weight", "blk.0.attn_q.weight"]
    assert header.tensors[1].dimensions == (64, 64)
    assert header.tensors[1].type_name == "q8_0"
    assert header.tensors[1].n_bytes == 64 * 64 // 32 * 34
    assert header.file_bytes == len(content)
    assert header.file_bytes - header.data_offset == header.tensor_bytes


def test_long_arrays_are_kept_as_a_reference_to_their_place(small_model: Make, write: Write) -> None:
    content = small_model().to_bytes()
    tokens = read_header(write(content)).metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, ArrayRef)
    assert tokens.length == 100
    first = struct.unpack_from("<Q6s", content, tokens.offset)
    assert first == (6, b"token0")


def test_what_the_reference_writer_writes_is_read_the_same(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    numpy = pytest.importorskip("numpy")
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_custom_alignment(64)
    writer.add_block_count(3)
    writer.add_array("tokenizer.ggml.scores", [0.5] * 5000)
    writer.add_tensor("a", numpy.ones((3, 64), numpy.float32))
    writer.add_tensor("b", numpy.ones((5,), numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    reader = gguf.GGUFReader(str(path))
    assert header.alignment == 64
    assert header.data_offset == reader.data_offset
    assert header.length("tokenizer.ggml.scores") == 5000
    for ours, theirs in zip(header.tensors, reader.tensors, strict=True):
        assert ours.name == theirs.name
        assert list(ours.dimensions) == theirs.shape.tolist()
        assert ours.n_bytes == theirs.n_bytes
        assert header.data_offset + ours.offset == theirs.data_offset


def test_strings_longer_than_a_piece_of_the_file_are_walked_over(
    gguf: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    strings = ["x" * (37 * number % 211) for number in range(400)]
    gguf.add_array("long", 8, strings)
    gguf.add("after", 8, "found")
    monkeypatch.setattr(Window.__init__, "__defaults__", (64,))
    header = read_header(write(gguf.to_bytes()))
    assert header.length("long") == 400
    assert header.metadata["after"] == "found"


def test_a_large_vocabulary_is_skipped_and_takes_little_memory(gguf: Any, write: Write) -> None:
    gguf.add_array("tokenizer.ggml.tokens", 8, [f"t{number}" for number in range(262_144)])
    gguf.add_array("tokenizer.ggml.scores", 6, [0.0] * 262_144)
    path = write(gguf.to_bytes())
    tracemalloc.start()
    header = read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.n_vocab == 262_144
    assert peak < 8 * 1024 * 1024


def _shards(small_model: Make, tmp_path: Path, count: int = 3) -> list[Path]:
    paths = []
    for index in range(1, count + 1):
        model = small_model()
        model.add("split.count", 0, count)
        model.add("split.tensors.count", 5, 2 * count)
        model.tensors.clear()
        model.add_tensor(f"blk.{index}.a", [64], 0, 0)
        model.add_tensor(f"blk.{index}.b", [64], 0, 256)
        path = tmp_path / f"big-{index:05d}-of-{count:05d}.gguf"
        path.write_bytes(model.to_bytes())
        paths.append(path)
    return paths


@pytest.mark.parametrize("named", [0, 2], ids=["first part", "last part"])
def test_parts_of_a_split_model_are_joined(small_model: Make, tmp_path: Path, named: int) -> None:
    paths = _shards(small_model, tmp_path)
    header = read_header(paths[named])
    assert header.paths == tuple(map(str, paths))
    assert [tensor.name for tensor in header.tensors] == [f"blk.{i}.{x}" for i in (1, 2, 3) for x in "ab"]
    assert header.file_bytes == sum(path.stat().st_size for path in paths)


def test_a_missing_part_is_named(small_model: Make, tmp_path: Path) -> None:
    paths = _shards(small_model, tmp_path)
    paths[1].unlink()
    with pytest.raises(ModelFileError, match=r"big-00002-of-00003\.gguf") as caught:
        read_header(paths[0])
    assert "missing" in caught.value.message


def test_parts_of_different_models_are_refused(small_model: Make, tmp_path: Path) -> None:
    paths = _shards(small_model, tmp_path)
    other = small_model()
    paths[2].write_bytes(other.to_bytes().replace(b"token_embd.weight", b"token_embd.wEight"))
    model = small_model()
    model.tensors.clear()
    paths[1].write_bytes(model.to_bytes())
    with pytest.raises(ModelFileError, match="hold 4 tensors; 6 are announced"):
        read_header(paths[0])


def test_a_part_that_lost_its_name_is_refused(small_model: Make, tmp_path: Path) -> None:
    path = _shards(small_model, tmp_path)[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(ModelFileError, match="one of 3 parts"):
        read_header(path)


def test_sizes_of_tensor_types_are_those_of_the_gguf_package() -> None:
    constants = pytest.importorskip("gguf.constants")
    for quantization, (block_size, block_bytes) in constants.GGML_QUANT_SIZES.items():
        if quantization.name == "Q8_1":  # gguf counts two floats, ggml two halves
            continue
        ours = TENSOR_TYPES[quantization.value]
        assert (ours.block_size, ours.block_bytes) == (block_size, block_bytes)
        assert ours.name.lower() == quantization.name.lower()
