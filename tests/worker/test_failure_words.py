"""Every way in which llama.cpp refuses has a title, a sentence with the file's name, and what to do."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import psutil
import pytest
from tiny_models import write_tiny_llama

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine import wire
from kobold_tui.engine.worker import failures
from kobold_tui.engine.worker.llama_backend import LlamaBackend

PATH = Path("models/big.gguf")
LoadBackend = Callable[..., LlamaBackend]


@pytest.mark.parametrize(
    ("line", "title", "words"),
    [
        (
            "alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory",
            "Not enough memory",
            "The weights of big.gguf do not fit",
        ),
        (
            "alloc_tensor_range: failed to allocate CUDA0 buffer of size 9437184000",
            "Not enough memory",
            "big.gguf",
        ),
        (
            "llama_model_load: error loading model: unknown model architecture: 'mamba9000'",
            "Unknown architecture",
            "architecture mamba9000",
        ),
        (
            "llama_model_load: error loading model vocabulary: unknown tokenizer: 'wonder'",
            "Unknown tokenizer",
            "the tokenizer wonder",
        ),
        (
            "check_tensor_dims: tensor 'output.weight' has wrong shape; expected 64, 512, got 64, 511",
            "Wrong tensor shape",
            "output.weight does not fit the model: expected 64, 512, got 64, 511",
        ),
        ("gguf_init_from_file_impl: something new", "Model cannot be loaded", "something new"),
    ],
)
def test_a_line_of_a_failed_load_becomes_a_sentence(line: str, title: str, words: str) -> None:
    error = failures.load_failure(PATH, [line, "llama_model_load_from_file_impl: failed to load model"])
    assert error.title == title
    assert words in error.message
    assert "big.gguf" in error.message
    assert error.hint
    assert error.log_tail[0] == line


@pytest.mark.parametrize(
    "line",
    [
        "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 17179869184",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
        "llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers",
    ],
)
def test_a_context_that_finds_no_memory_says_how_large_it_is(line: str) -> None:
    error = failures.context_failure(PATH, LoadOptions(), 131_072, [line])
    assert error.title == "Not enough memory for the context"
    assert error.message.startswith("A context of 131,072 tokens for big.gguf does not fit")
    assert "smaller context" in error.hint


def test_a_context_that_fails_for_another_reason_gives_it() -> None:
    error = failures.context_failure(PATH, LoadOptions(), 512, ["llama_init_from_model: something new"])
    assert (error.title, error.hint != "") == ("Context cannot be made", True)
    assert "something new" in error.message


def test_no_reason_in_the_log_is_said_too() -> None:
    assert "llama.cpp gave no reason" in failures.load_failure(PATH, []).message


def refusal(path: Path, **options: Any) -> KoboldError:
    backend = LlamaBackend()
    spec = LoadSpec(path=str(path), options=LoadOptions(n_threads=1, **options))
    with pytest.raises(KoboldError) as caught:
        backend.load(spec, lambda _phase, _fraction: None, lambda: False)
    backend.unload()
    return caught.value


def with_output(change: Callable[[Any], Any], path: Path) -> Path:
    """Write a tiny model whose output matrix is changed."""
    original = gguf.GGUFWriter.add_tensor

    def add(self: gguf.GGUFWriter, name: str, values: Any, **rest: Any) -> None:
        original(self, name, change(values) if name == "output.weight" else values, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.GGUFWriter, "add_tensor", add)
        return write_tiny_llama(path)


def test_a_tensor_of_the_wrong_shape_is_named(tmp_path: Path) -> None:
    error = refusal(with_output(lambda values: np.ascontiguousarray(values[:-1]), tmp_path / "shape.gguf"))
    assert error.title == "Wrong tensor shape"
    assert "shape.gguf the tensor output.weight does not fit the model" in error.message


def test_numbers_that_are_none_are_found_where_the_tensors_are_checked(tmp_path: Path) -> None:
    path = with_output(lambda values: np.full_like(values, np.nan), tmp_path / "nan.gguf")
    error = refusal(path, check_tensors=True)
    assert error.title == "Invalid numbers in the model"
    assert "nan.gguf" in error.message
    assert "Download the file again" in error.hint


def test_a_context_that_the_system_refuses_is_an_error_and_the_worker_lives_on(
    worker_process: Callable[..., Any], tiny_llama: Path
) -> None:
    worker = worker_process()
    limit = psutil.Process(worker.process.pid).memory_info().vms + 512 * 2**20
    resource.prlimit(worker.process.pid, resource.RLIMIT_AS, (limit, limit))
    large = LoadOptions(n_threads=1, n_ctx=4_194_304, n_gpu_layers=0)
    worker.send(wire.Load(id=1, spec=LoadSpec(path=str(tiny_llama), options=large)))
    failure = worker.receive_until(wire.Refused)[-1].failure
    assert failure.title == "Not enough memory for the context"
    assert "A context of 4,194,304 tokens for tiny-llama-F32.gguf does not fit" in failure.message
    small = LoadOptions(n_threads=1, n_ctx=512, n_gpu_layers=0)
    worker.send(wire.Load(id=2, spec=LoadSpec(path=str(tiny_llama), options=small)))
    assert worker.receive_until(wire.Loaded)[-1].info.n_ctx == 512


def test_gpu_options_of_a_build_without_gpu_are_reported_as_not_used(
    load: LoadBackend, tiny_llama: Path
) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_gpu_layers=3))
    info = backend._loaded.info(has_chat_template=True, seconds_to_load=0)
    assert info.n_gpu_layers == (3 if info.gpu_offload_supported else 0)


@pytest.mark.parametrize(
    ("sampling", "title"),
    [
        (SamplingOptions(grammar='start ::= "x"'), "Bad grammar"),
        (SamplingOptions(grammar='root ::= "x'), "Bad grammar"),
        (SamplingOptions(banned_tokens=(99_999,)), "Unknown token"),
    ],
)
def test_a_request_that_llama_cpp_would_die_of_is_refused(
    backend: LlamaBackend, sampling: SamplingOptions, title: str
) -> None:
    with pytest.raises(KoboldError) as caught:
        backend.start(1, GenerateRequest(prompt="x", sampling=sampling))
    assert caught.value.title == title
    assert caught.value.hint
    assert not backend.busy
