"""LoRA adapters: several at once, scales that change between answers, and refusals in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_extras import write_tiny_lora

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import EmbedRequest, GenerateRequest
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions, LoraAdapter
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine import wire
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]
GREEDY = GenerateRequest(prompt="hello", max_tokens=30, sampling=SamplingOptions(temperature=0))


@pytest.fixture
def adapters(tmp_path: Path) -> tuple[str, str]:
    first = write_tiny_lora(tmp_path / "first.gguf")
    second = write_tiny_lora(tmp_path / "second.gguf", tensor="blk.1.attn_output.weight", seed=2)
    return str(first), str(second)


def options(*lora: tuple[str, float]) -> LoadOptions:
    return LoadOptions(n_threads=1, lora=tuple(LoraAdapter(path=path, scale=scale) for path, scale in lora))


def test_several_adapters_act_together_as_far_as_their_scales_say(
    load: LoadBackend, ask: Ask, tiny_llama: Path, adapters: tuple[str, str]
) -> None:
    first, second = adapters

    def text(*lora: tuple[str, float]) -> str:
        return str(ask(load(tiny_llama, options=options(*lora)), GREEDY).text)

    plain = text()
    assert text((first, 0.0), (second, 0.0)) == plain
    assert len({plain, text((first, 1)), text((second, 1)), text((first, 1), (second, 1))}) == 4
    assert text((first, 1), (second, 0)) == text((first, 1))


def test_scales_change_between_answers_and_nothing_cached_is_used(
    load: LoadBackend, ask: Ask, tiny_llama: Path, adapters: tuple[str, str]
) -> None:
    first, second = adapters
    backend = load(tiny_llama, options=options((first, 1.0), (second, 0.0)))
    request = GenerateRequest(prompt="hello " * 20, max_tokens=30, sampling=SamplingOptions(temperature=0))
    with_first = ask(backend, request).text
    backend.set_lora((0.0, 1.0))
    changed = ask(backend, request)
    fresh = load(tiny_llama, options=options((first, 0.0), (second, 1.0)))
    assert changed.text == ask(fresh, request).text != with_first
    assert changed.finished.usage.cached_tokens == 0
    backend.set_lora((1.0, 0.0))
    assert ask(backend, request).text == with_first


def test_a_kept_conversation_belongs_to_the_scales_it_was_evaluated_with(
    load: LoadBackend, ask: Ask, tiny_llama: Path, adapters: tuple[str, str], tmp_path: Path
) -> None:
    backend = load(tiny_llama, options=options((adapters[0], 1.0)))
    kept = GenerateRequest(
        prompt="hello " * 20,
        max_tokens=1,
        sampling=SamplingOptions(temperature=0),
        state_file=str(tmp_path / "chat.state"),
    )
    assert ask(backend, kept).finished.note == ""
    backend.set_lora((0.5,))
    changed = ask(backend, kept).finished
    assert "other settings" in changed.note
    assert changed.usage.cached_tokens == 0


def test_vectors_of_a_chat_model_follow_its_adapters(
    load: LoadBackend, tiny_llama: Path, adapters: tuple[str, str]
) -> None:
    def vectors(backend: LlamaBackend) -> bytes:
        return backend.embed(EmbedRequest(texts=("hello",)), lambda: False).vectors

    backend = load(tiny_llama, options=options((adapters[0], 0.0)))
    plain = vectors(backend)
    assert plain == vectors(load(tiny_llama))
    backend.set_lora((1.0,))
    assert vectors(backend) != plain


@pytest.mark.parametrize("scales", [(), (1.0,), (1.0, 1.0, 1.0), (float("nan"), 1.0)])
def test_scales_that_do_not_fit_are_refused(
    load: LoadBackend, tiny_llama: Path, adapters: tuple[str, str], scales: tuple[float, ...]
) -> None:
    backend = load(tiny_llama, options=options(*((path, 1.0) for path in adapters)))
    with pytest.raises(EngineError, match=r"for the 2 LoRA adapters of tiny-llama-F32\.gguf"):
        backend.set_lora(scales)


def test_scales_do_not_change_in_the_middle_of_an_answer(
    load: LoadBackend, tiny_llama: Path, adapters: tuple[str, str]
) -> None:
    backend = load(tiny_llama, options=options((adapters[0], 1.0)))
    backend.start(1, GREEDY)
    list(backend.step())
    with pytest.raises(EngineError, match="in the middle of an answer"):
        backend.set_lora((0.0,))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("other size", "tensor 'blk.0.attn_q.weight' has incorrect shape"),
        ("other architecture", "model arch and LoRA arch mismatch"),
        ("other tensor", "LoRA tensor 'blk.9.attn_q.weight' does not exist in base model"),
        ("a model", "expect general.type to be 'adapter'"),
    ],
)
def test_an_adapter_that_does_not_go_with_the_model_is_named(
    load: LoadBackend, tiny_llama: Path, tmp_path: Path, kind: str, words: str
) -> None:
    path = tmp_path / "wrong.gguf"
    match kind:
        case "other size":
            write_tiny_lora(path, n_embd=32)
        case "other architecture":
            write_tiny_lora(path, architecture="gemma3")
        case "other tensor":
            write_tiny_lora(path, tensor="blk.9.attn_q.weight")
        case _:
            path.write_bytes(tiny_llama.read_bytes())
    with pytest.raises(EngineError) as caught:
        load(tiny_llama, options=options((str(path), 1.0)))
    assert caught.value.title == "Adapter cannot be loaded"
    assert "wrong.gguf does not go with tiny-llama-F32.gguf" in caught.value.message
    assert words in caught.value.message
    assert "base model" in caught.value.hint


def test_scales_are_changed_over_the_wire(
    worker_process: Callable[..., Any], tiny_llama: Path, adapters: tuple[str, str]
) -> None:
    worker = worker_process()
    spec = LoadSpec(path=str(tiny_llama), options=options((adapters[0], 1.0)))
    worker.send(wire.Load(id=1, spec=spec))
    worker.receive_until(wire.Loaded)
    worker.send(wire.SetLora(id=2, scales=(0.5,)), wire.SetLora(id=3, scales=()))
    assert worker.receive() == wire.Done(id=2)
    refused = worker.receive()
    assert isinstance(refused, wire.Refused)
    assert refused.failure.title == "Wrong scales"
