"""What cannot be loaded is said in a sentence that names the file and the reason."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions, LoraAdapter
from kobold_tui.engine.worker import host
from kobold_tui.engine.worker.llama_backend import LlamaBackend


def refusal(path: Path, **options: Any) -> KoboldError:
    """The error of loading `path`."""
    backend = LlamaBackend()
    spec = LoadSpec(path=str(path), options=LoadOptions(**options))
    with pytest.raises(KoboldError) as caught:
        backend.load(spec, lambda _phase, _fraction: None, lambda: False)
    backend.unload()
    return caught.value


@pytest.fixture
def broken(tmp_path: Path, tiny_llama: Path) -> Callable[[str], Path]:
    """Make a file that is no model, of a named kind."""
    whole = tiny_llama.read_bytes()
    contents = {
        "empty": b"",
        "text": b"This is a letter and not a model.\n" * 40,
        "web page": b"<!DOCTYPE html><html><body>404</body></html>",
        "truncated": whole[: len(whole) * 2 // 3],
        "cut header": whole[:600],
        "only magic": whole[:4],
        "wrong version": whole[:4] + (99).to_bytes(4, "little") + whole[8:],
        "huge counts": whole[:8] + b"\xff" * 16 + whole[24:],
    }

    def make(kind: str) -> Path:
        path = tmp_path / f"{kind}.gguf"
        path.write_bytes(contents[kind])
        return path

    return make


@pytest.mark.parametrize(
    ("kind", "title", "words"),
    [
        ("empty", "Model file is empty", "is empty"),
        ("text", "Not a GGUF file", "begins with 'This'"),
        ("web page", "Not a GGUF file", "begins with '<!DO'"),
        ("truncated", "Model file is incomplete", "ends before its tensors do"),
        ("cut header", "Model file is incomplete", "ends before"),
        ("only magic", "Model file is incomplete", "ends before"),
        ("wrong version", "Unknown GGUF version", "version 99"),
        ("huge counts", "Model file is damaged", "impossible header"),
    ],
)
def test_a_broken_file_is_named_with_its_reason(
    broken: Callable[[str], Path], kind: str, title: str, words: str
) -> None:
    path = broken(kind)
    error = refusal(path)
    assert error.title == title
    assert str(path) in error.message
    assert words in error.message
    assert error.hint


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.gguf").message == f"There is no file {tmp_path / 'gone.gguf'}."
    assert refusal(tmp_path).message == f"{tmp_path} is a folder, not a model file."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, tiny_llama: Path) -> None:
    path = tmp_path / "secret.gguf"
    path.write_bytes(tiny_llama.read_bytes())
    path.chmod(0)
    assert "cannot be read" in refusal(path).message


def write_header(path: Path, architecture: str, tokenizer: str, tensors: int = 1) -> Path:
    """A file with a header that is fine in form."""
    writer = gguf.GGUFWriter(path, architecture)
    for add in (writer.add_context_length, writer.add_embedding_length, writer.add_feed_forward_length):
        add(64)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(tokenizer)
    writer.add_token_list(["<unk>", "<s>", "</s>"])
    writer.add_token_scores([0.0, 0.0, 0.0])
    writer.add_token_types([2, 3, 3])
    for number in range(tensors):
        writer.add_tensor(f"other{number}.weight", np.zeros((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("architecture", "tokenizer", "words"),
    [
        ("mamba9000", "llama", "architecture mamba9000"),
        ("llama", "wonder", "tokenizer wonder"),
        ("llama", "llama", "lacks the tensor token_embd.weight"),
    ],
)
def test_a_model_that_this_build_does_not_know_is_named(
    tmp_path: Path, architecture: str, tokenizer: str, words: str
) -> None:
    error = refusal(write_header(tmp_path / "odd.gguf", architecture, tokenizer))
    assert words in error.message
    assert any("odd.gguf" in line or "error" in line for line in error.log_tail)


def test_a_context_that_does_not_fit_says_how_much_it_needs(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 3_000_000)
    error = refusal(tiny_llama, n_ctx=100_000, n_gpu_layers=0)
    assert error.title == "Not enough RAM"
    assert re.match(r"A context of 100,000 tokens for tiny-llama-F32.gguf needs 1\d\d MiB", error.message)
    assert "2.86 MiB are available" in error.message


def test_weights_that_must_lie_in_ram_and_cannot_are_refused(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 1000)
    error = refusal(tiny_llama, use_mmap=False, n_gpu_layers=0)
    assert error.message.startswith("The weights of tiny-llama-F32.gguf need")


def test_a_quantised_v_cache_without_flash_attention_is_refused_in_words(tiny_llama: Path) -> None:
    error = refusal(tiny_llama, flash_attn=False, type_v="q8_0")
    assert error.title == "Quantised V cache needs flash attention"
    assert "tiny-llama-F32.gguf" in error.message


def test_a_cache_type_that_does_not_divide_the_head_is_refused_in_words(tiny_llama: Path) -> None:
    error = refusal(tiny_llama, flash_attn=True, type_k="q8_0")
    assert error.title == "KV cache type does not fit"
    assert "q8_0/f16 do not fit the head size of tiny-llama-F32.gguf" in error.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"devices": ("CUDA99",)}, "no device called CUDA99"),
        ({"override_tensors": ("blk=NOWHERE",)}, "'blk=NOWHERE' is no regex=BUFFER pair"),
        ({"tensor_split": (1.0,) * 500}, "names 500 cards"),
        ({"override_kv": {"k" * 200: 1}}, "longer than 127 bytes"),
        ({"mmproj": "/nowhere/mmproj.gguf"}, "There is no file /nowhere/mmproj.gguf"),
        ({"lora": (LoraAdapter(path="/nowhere/a.gguf"),)}, "There is no file /nowhere/a.gguf"),
    ],
)
def test_what_an_option_names_must_exist(tiny_llama: Path, options: dict[str, Any], words: str) -> None:
    error = refusal(tiny_llama, **options)
    assert words in error.message
    assert error.hint or "longer" in words
