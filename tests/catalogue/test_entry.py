"""A row of the catalogue says what a model is, from what its file says."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kobold_tui.catalogue.entry import read_entry
from kobold_tui.domain.errors import ModelFileError

WriteModel = Callable[..., Path]


def test_a_row_has_the_numbers_of_the_file(write_model: WriteModel, tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "any.gguf",
        general__name="Nice Llama",
        general__file_type=15,
        llama__context_length=4096,
        llama__embedding_length=256,
        tokenizer__chat_template="{{ messages }}",
    )
    entry = read_entry(path, "here")
    assert (entry.path, entry.source, entry.shards) == (str(path), "here", 1)
    assert (entry.name, entry.architecture, entry.kind) == ("Nice Llama", "llama", "chat")
    assert (entry.n_layer, entry.n_ctx_train, entry.n_embd) == (2, 4096, 256)
    assert entry.parameters == 256 * 4 + 256
    assert entry.quantization == "Q4_K_M"
    assert entry.size_bytes == path.stat().st_size
    assert entry.chat_template


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        ({}, "base"),
        ({"tokenizer__chat_template": "x"}, "chat"),
        ({"general__architecture": "bert"}, "embedding"),
        ({"general__architecture": "qwen3", "qwen3__pooling_type": 3}, "embedding"),
        ({"general__architecture": "bert", "bert__pooling_type": 4}, "reranker"),
        ({"llama__pooling_type": 0, "tokenizer__chat_template": "x"}, "chat"),
        ({"general__architecture": "clip"}, "projector"),
        ({"general__type": "mmproj", "general__architecture": "clip"}, "projector"),
        ({"general__type": "adapter", "adapter__type": "lora"}, "adapter"),
        ({"adapter__type": "lora"}, "adapter"),
        ({"general__type": "imatrix"}, "unsupported"),
        ({"general__architecture": "flux"}, "unsupported"),
        ({"general__architecture": "of-next-year", "tokenizer__chat_template": "x"}, "unsupported"),
        ({"general__architecture": "wavtokenizer-dec"}, "unsupported"),
        ({"general__architecture": "of-next-year", "adapter__type": "lora"}, "adapter"),
        ({"no_tensors": True, "tokenizer__chat_template": "x"}, "vocabulary"),
    ],
)
def test_the_kind_follows_from_the_metadata(
    write_model: WriteModel, tmp_path: Path, metadata: dict[str, str | int], kind: str
) -> None:
    assert read_entry(write_model(tmp_path / "m.gguf", **metadata), "").kind == kind


@pytest.mark.parametrize(
    ("file", "metadata", "name"),
    [
        ("some-file.Q4_0.gguf", {}, "some-file.Q4_0"),
        ("x.gguf", {"general__name": "Good Name"}, "Good Name"),
        (
            "x.gguf",
            {"general__name": "model", "general__basename": "Orca", "general__size_label": "7B"},
            "Orca 7B",
        ),
        ("x.gguf", {"general__name": "0123456789abcdef0123456789abcdef01234567"}, "x"),
        ("x.gguf", {"general__name": "evil\x1b]0;title\x07\nname"}, "evil ]0;title name"),
        (
            "Tiny-Chat-1B-Instruct-Q4_K_M.gguf",
            {"general__name": "Run 7 Ep2", "general__basename": "tiny-chat", "general__size_label": "1B"},
            "Tiny-Chat-1B-Instruct",
        ),
    ],
)
def test_the_name_is_the_best_that_the_file_offers(
    write_model: WriteModel, tmp_path: Path, file: str, metadata: dict[str, str | int], name: str
) -> None:
    assert read_entry(write_model(tmp_path / file, **metadata), "").name == name


def test_a_long_name_is_cut_with_a_mark(write_model: WriteModel, tmp_path: Path) -> None:
    name = read_entry(write_model(tmp_path / "m.gguf", general__name="long " * 100), "").name
    assert len(name) <= 120
    assert name.endswith("…")


@pytest.mark.parametrize(
    ("metadata", "quantization"),
    [
        ({"general__file_type": 7}, "Q8_0"),
        ({"general__file_type": 1024 + 7}, "Q8_0"),
        ({"general__file_type": 999}, "Q4_K"),
        ({}, "Q4_K"),
        ({"no_tensors": True}, ""),
    ],
)
def test_the_quantization_is_announced_or_counted(
    write_model: WriteModel, tmp_path: Path, metadata: dict[str, str | int], quantization: str
) -> None:
    assert read_entry(write_model(tmp_path / "m.gguf", **metadata), "").quantization == quantization


def test_a_file_of_the_other_byte_order_is_not_supported_here(tmp_path: Path) -> None:
    other = ">" if sys.byteorder == "little" else "<"
    key, value = b"general.architecture", b"llama"
    content = b"GGUF" + struct.pack(other + "IQQQ", 3, 0, 1, len(key)) + key
    path = tmp_path / "swapped.gguf"
    path.write_bytes(content + struct.pack(other + "IQ", 8, len(value)) + value + b"\0" * 32)
    entry = read_entry(path, "")
    assert (entry.architecture, entry.kind) == ("llama", "unsupported")


@pytest.mark.parametrize(
    ("metadata", "family", "base"),
    [
        ({}, "llama", ""),
        ({"general__basename": "Qwen3"}, "Qwen3", ""),
        ({"general__basename": "model"}, "llama", ""),
        ({"general__base_model__0__repo_url": "https://hub.example/org/name/tree/main"}, "llama", "org/name"),
        (
            {"general__base_model__0__organization": "Org", "general__base_model__0__name": "Base 7B"},
            "llama",
            "Org/Base 7B",
        ),
        ({"general__base_model__0__organization": "Org"}, "llama", ""),
        ({"general__base_model__0__name": "evil\x1b[2J"}, "llama", "evil [2J"),
    ],
)
def test_relatives_are_told(
    write_model: WriteModel, tmp_path: Path, metadata: dict[str, str | int], family: str, base: str
) -> None:
    entry = read_entry(write_model(tmp_path / "m.gguf", **metadata), "")
    assert (entry.family, entry.base_model) == (family, base)


def test_a_row_knows_when_its_file_was_changed(write_model: WriteModel, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    os.utime(path, (0, 1_700_000_000))
    assert read_entry(path, "").modified_at == 1_700_000_000


def test_the_width_of_a_projector_is_that_of_its_model(write_model: WriteModel, tmp_path: Path) -> None:
    metadata = {"general__architecture": "clip", "clip__vision__projection_dim": 2560}
    assert read_entry(write_model(tmp_path / "m.gguf", **metadata), "").n_embd == 2560


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_text("<html>")
    with pytest.raises(ModelFileError, match="web page"):
        read_entry(path, "")
