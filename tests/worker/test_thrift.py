"""Memory that is not reserved is not missed: thrifty contexts write what wasteful ones write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama, write_tiny_swa

from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import DeviceMemory
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker import dry_run
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]
WASTEFUL = LoadOptions(n_threads=1, n_ctx=1024, n_outputs_max=512, swa_full=True, flash_attn=False)
THRIFTY = LoadOptions(n_threads=1, n_ctx=1024, flash_attn=False)
GREEDY = GenerateRequest(prompt="hello world " * 20, max_tokens=80, sampling=SamplingOptions(temperature=0))


@pytest.fixture(params=["llama", "sliding window"])
def model(request: pytest.FixtureRequest, tiny_llama: Path, model_folder: Path) -> Path:
    if request.param == "llama":
        return tiny_llama
    return write_tiny_swa(model_folder / "thrift-swa-F32.gguf")


def memory(model: Path, options: LoadOptions) -> DeviceMemory:
    return dry_run.measure(LoadSpec(path=str(model), options=options)).devices[0]


def test_thrift_changes_no_token(load: LoadBackend, ask: Ask, model: Path) -> None:
    texts = {ask(load(model, options=options), GREEDY).text for options in (WASTEFUL, THRIFTY)}
    assert len(texts) == 1
    assert len(texts.pop()) > 80


def test_thrift_changes_no_token_after_a_second_question(load: LoadBackend, ask: Ask, model: Path) -> None:
    answers = []
    for options in (WASTEFUL, THRIFTY):
        backend = load(model, options=options)
        first = ask(backend, GREEDY).text
        again = GenerateRequest(
            prompt=f"{GREEDY.prompt}{first[:20]} and then", max_tokens=40, sampling=GREEDY.sampling
        )
        answers.append(ask(backend, again).text)
    assert answers[0] == answers[1]


def test_few_outputs_take_a_smaller_compute_buffer(model_folder: Path) -> None:
    model = write_tiny_llama(model_folder / "wide-F32.gguf", n_layer=1, n_embd=16, n_vocab=8192)
    thrifty, wasteful = LoadOptions(n_ctx=1024), LoadOptions(n_ctx=1024, n_outputs_max=512)
    assert memory(model, thrifty).compute_bytes < memory(model, wasteful).compute_bytes / 2


def test_a_window_is_cached_in_place_of_the_whole_context(model_folder: Path, tiny_llama: Path) -> None:
    windowed = write_tiny_swa(model_folder / "thrift-swa-F32.gguf")
    assert memory(windowed, THRIFTY).kv_bytes < memory(windowed, WASTEFUL).kv_bytes
    assert memory(tiny_llama, THRIFTY).kv_bytes == memory(tiny_llama, WASTEFUL).kv_bytes


def test_an_encoder_reserves_outputs_for_every_token_whatever_is_asked(
    load: LoadBackend, tiny_bert: Path
) -> None:
    options = LoadOptions(n_threads=1, n_outputs_max=1)
    backend = load(tiny_bert, options=options)
    assert backend._loaded.shape.n_outputs_max == 0
