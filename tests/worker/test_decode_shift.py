"""A full context: the oldest half of a conversation goes, and the text goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama, write_tiny_mamba, write_tiny_swa

from kobold_tui.domain.generation import GenerateRequest, Message
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.context_shift import system_length
from kobold_tui.engine.worker.llama_backend import LlamaBackend

GREEDY = SamplingOptions(temperature=0)
N_CTX = 256
SMALL = LoadOptions(n_threads=1, n_ctx=N_CTX, type_k="f32", type_v="f32")

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]


@pytest.fixture
def one_layer(model_folder: Path) -> Path:
    """A model whose cached keys and values depend on a token and its position alone."""
    return write_tiny_llama(model_folder / "one-layer.gguf", n_layer=1)


def request(prompt: str, max_tokens: int, **fields: Any) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, max_tokens=max_tokens, **{"sampling": GREEDY, **fields})


def written(backend: LlamaBackend, answer: Any) -> list[int]:
    return [entry.token for delta in answer.deltas for entry in delta.logprobs]


def test_a_full_context_goes_on_as_if_it_had_been_given_the_shortened_text(
    load: LoadBackend, ask: Ask, one_layer: Path
) -> None:
    n_keep = 4
    backend = load(one_layer, options=SMALL)
    prompt = list(backend.tokenize("hello world", add_special=True, parse_special=True))
    answer = ask(backend, request("hello world", 600, n_keep=n_keep, logprobs=1))
    tokens = prompt + written(backend, answer)
    assert len(tokens) == len(prompt) + 600
    window = tokens[: N_CTX + 1]
    at = len(window)
    while at < len(tokens):
        n_drop = (N_CTX - n_keep) // 2
        window = window[:n_keep] + window[n_keep + n_drop :]
        n_until_full = min(N_CTX + 1 - len(window), len(tokens) - at)
        assert greedy_from(one_layer, window, n_until_full) == tokens[at : at + n_until_full]
        window, at = window + tokens[at : at + n_until_full], at + n_until_full


def greedy_from(path: Path, tokens: list[int], n_tokens: int) -> list[int]:
    """Greedy tokens from a fresh context that evaluates `tokens` as its prompt."""
    model = C.llama_model_load_from_file(str(path).encode(), C.llama_model_default_params())
    params = C.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = 1024, 1, 1
    params.type_k = params.type_v = C.GGML_TYPE_F32
    context = C.llama_init_from_model(model, params)
    greedy = C.llama_sampler_init_greedy()
    fed = (C.llama_token * len(tokens))(*tokens)
    batch, drawn = C.llama_batch_get_one(fed, len(tokens)), []
    for _ in range(n_tokens):
        assert C.llama_decode(context, batch) == 0
        drawn.append(C.llama_sampler_sample(greedy, context, -1))
        fed = (C.llama_token * 1)(drawn[-1])
        batch = C.llama_batch_get_one(fed, 1)
    C.llama_sampler_free(greedy)
    C.llama_free(context)
    C.llama_model_free(model)
    return drawn


def test_the_note_tells_what_was_kept_and_dropped(load: LoadBackend, ask: Ask, tiny_llama: Path) -> None:
    finished = ask(load(tiny_llama, options=SMALL), request("hello", 400)).finished
    assert finished.reason == "length"
    assert finished.usage.completion_tokens == 400
    assert "context of 256 tokens was full: the first 4 tokens were kept and 252 older ones" in finished.note


def test_what_follows_a_shifted_window_is_used_for_no_other_prompt(
    load: LoadBackend, ask: Ask, tiny_llama: Path
) -> None:
    backend = load(tiny_llama, options=SMALL)
    ask(backend, request("hello", 300, n_keep=3))
    decoder = backend._decoder
    assert decoder is not None
    (slot,) = [slot for slot in decoder._slots if slot.cached]
    again = backend.detokenize(slot.cached[1:150])
    answer = ask(backend, request(again, 20))
    assert answer.finished.usage.cached_tokens <= 3
    assert answer.text == ask(load(tiny_llama, options=SMALL), request(again, 20)).text


@pytest.mark.parametrize(("n_shared", "stays"), [(300, False), (20, True)])
def test_a_slot_that_shares_what_moves_gives_it_up(
    load: LoadBackend, tiny_llama: Path, ask: Ask, n_shared: int, stays: bool
) -> None:
    options = LoadOptions(n_threads=1, n_ctx=1024, n_seq_max=2)
    letters = "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 12
    backend = load(tiny_llama, options=options)
    backend.start(1, request(letters, 100))
    list(backend.step())
    backend.start(2, request(letters[: 2 * n_shared] + "1", 1))
    list(backend.step())
    decoder = backend._decoder
    assert decoder is not None
    running, other = decoder._slots
    assert running.generation is not None
    assert len(other.cached) > n_shared
    assert decoder._shift.make_room(running, running.generation)
    assert bool(other.cached) is stays


@pytest.mark.parametrize("write", [write_tiny_swa, write_tiny_mamba])
def test_a_model_whose_window_cannot_move_ends_with_length(
    load: LoadBackend, ask: Ask, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    options = LoadOptions(n_threads=1, n_ctx=512, n_seq_max=1, n_batch=32, n_ubatch=32)
    backend = load(write(tmp_path / "m.gguf"), options=options)
    finished = ask(backend, request("hello", 600)).finished
    assert finished.reason == "length"
    assert "context of 512 tokens is full" in finished.note


def test_a_sliding_window_kept_whole_can_move(load: LoadBackend, ask: Ask, tmp_path: Path) -> None:
    options = LoadOptions(n_threads=1, n_ctx=N_CTX, n_seq_max=1, swa_full=True)
    finished = ask(load(write_tiny_swa(tmp_path / "m.gguf"), options=options), request("hello", 400)).finished
    assert finished.usage.completion_tokens == 400


def test_bf16_keys_are_never_rotated(load: LoadBackend, ask: Ask, tiny_llama: Path) -> None:
    options = LoadOptions(n_threads=1, n_ctx=N_CTX, type_k="bf16", type_v="bf16")
    finished = ask(load(tiny_llama, options=options), request("hello", 400)).finished
    assert "is full" in finished.note


def test_the_system_message_is_what_stays(backend: LlamaBackend) -> None:
    system = "you are patient and kind"
    messages = (Message(role="system", content=f"  {system}\n"), Message(role="user", content="hi"))
    prompt = backend.render(messages, {})
    vocab = backend._loaded.vocab
    n_keep = system_length(vocab, prompt.tokens, messages[0].content)
    assert vocab.text(prompt.tokens[:n_keep]).rstrip().endswith("kind")
    assert "user" not in vocab.text(prompt.tokens[:n_keep])
    assert system_length(vocab, prompt.tokens, "") == system_length(vocab, prompt.tokens, "unseen") == 0
