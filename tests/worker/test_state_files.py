"""Conversations on disk: read back into a fresh worker, and only where they belong."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tiny_models import write_tiny_llama, write_tiny_mamba, write_tiny_swa

from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]

OPTIONS = LoadOptions(n_threads=1, flash_attn=False)
PROMPT = "the long story of a patient reader who waits"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the conversation is kept."""
    return tmp_path / "chat.state"


def request(prompt: str, state: Path | str = "", max_tokens: int = 30, **fields: Any) -> GenerateRequest:
    sampling = SamplingOptions(temperature=0)
    return GenerateRequest(
        prompt=prompt, state_file=str(state), max_tokens=max_tokens, sampling=sampling, **fields
    )


@pytest.mark.parametrize("write", [write_tiny_llama, write_tiny_swa, write_tiny_mamba])
def test_a_conversation_goes_on_in_a_fresh_worker(
    load: LoadBackend, ask: Ask, tmp_path: Path, state: Path, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path / "m.gguf")
    first = ask(load(path, options=OPTIONS), request(PROMPT, state, 1)).finished
    assert first.note == ""
    again = ask(load(path, options=OPTIONS), request(PROMPT + " and then", state))
    assert again.finished.note == ""
    assert again.finished.usage.cached_tokens == first.usage.prompt_tokens
    assert again.text == ask(load(path, options=OPTIONS), request(PROMPT + " and then")).text


def load_tokens(state: Path) -> list[int]:
    header = msgspec.json.decode(state.with_name(state.name + ".json").read_bytes())
    return list(header["tokens"])


def test_only_the_owner_can_read_what_is_kept(
    load: LoadBackend, ask: Ask, tiny_llama: Path, state: Path
) -> None:
    before = os.umask(0)
    try:
        ask(load(tiny_llama), request(PROMPT, state))
    finally:
        os.umask(before)
    kept = sorted(state.parent.glob("chat.state*"))
    assert [path.name for path in kept] == ["chat.state", "chat.state.json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600, 0o600]


def test_the_state_of_another_file_or_of_other_settings_is_not_read(
    load: LoadBackend, ask: Ask, tmp_path: Path, state: Path
) -> None:
    path = write_tiny_llama(tmp_path / "m.gguf")
    ask(load(path, options=OPTIONS), request(PROMPT, state))
    kept = {name: (state.parent / name).read_bytes() for name in ("chat.state", "chat.state.json")}
    others = [LoadOptions(n_threads=1, flash_attn=False, n_ctx=512), LoadOptions(n_threads=1, type_k="f32")]
    for options in others:
        for name, data in kept.items():
            (state.parent / name).write_bytes(data)
        finished = ask(load(path, options=options), request(PROMPT, state)).finished
        assert finished.usage.cached_tokens == 0
        assert "chat.state belongs to another model or other settings" in finished.note
    os.utime(path, (1, 1))
    for name, data in kept.items():
        (state.parent / name).write_bytes(data)
    assert (
        "belongs to another model" in ask(load(path, options=OPTIONS), request(PROMPT, state)).finished.note
    )


@pytest.mark.parametrize("damage", ["cut", "garbage", "no header", "broken header", "no data"])
def test_a_damaged_state_costs_a_note_at_most(
    load: LoadBackend, ask: Ask, tiny_llama: Path, state: Path, damage: str
) -> None:
    expected = ask(load(tiny_llama, options=OPTIONS), request(PROMPT, state)).text
    header = state.with_name("chat.state.json")
    match damage:
        case "cut":
            state.write_bytes(state.read_bytes()[:-100])
        case "garbage":
            state.write_bytes(b"x" * state.stat().st_size)
        case "no header":
            header.unlink()
        case "broken header":
            header.write_bytes(b'{"format": 1')
        case "no data":
            state.unlink()
    answer = ask(load(tiny_llama, options=OPTIONS), request(PROMPT, state))
    assert (answer.text, answer.finished.usage.cached_tokens) == (expected, 0)
    again = ask(load(tiny_llama, options=OPTIONS), request(PROMPT, state))
    assert again.finished.usage.cached_tokens == again.finished.usage.prompt_tokens - 1


def test_a_state_that_cannot_be_written_costs_a_note(
    load: LoadBackend, ask: Ask, tiny_llama: Path, tmp_path: Path
) -> None:
    answer = ask(load(tiny_llama), request(PROMPT, tmp_path / "missing" / "chat.state"))
    assert answer.finished.reason == "length"
    assert "state was not saved: chat.state: No such file or directory" in answer.finished.note


def test_a_state_is_read_into_a_cache_that_idle_conversations_fill(
    load: LoadBackend, ask: Ask, tiny_llama: Path, state: Path
) -> None:
    small = LoadOptions(n_threads=1, flash_attn=False, n_ctx=256, n_seq_max=2)
    ask(load(tiny_llama, options=small), request(PROMPT, state, 100))
    backend = load(tiny_llama, options=small)
    ask(backend, request("something else", max_tokens=220))
    usage = ask(backend, request(PROMPT, state)).finished.usage
    assert usage.cached_tokens == usage.prompt_tokens - 1


def test_a_shifted_conversation_keeps_what_is_exact(
    load: LoadBackend, ask: Ask, tiny_llama: Path, state: Path
) -> None:
    small = LoadOptions(n_threads=1, flash_attn=False, n_ctx=256)
    answer = ask(load(tiny_llama, options=small), request(PROMPT, state, 400, n_keep=9))
    assert "were dropped" in answer.finished.note
    assert len(load_tokens(state)) == 9
    again = ask(load(tiny_llama, options=small), request(PROMPT, state))
    assert again.finished.usage.cached_tokens == 9
    assert again.text == ask(load(tiny_llama, options=small), request(PROMPT)).text


def test_guessed_tokens_are_not_kept(load: LoadBackend, ask: Ask, tiny_llama: Path, state: Path) -> None:
    sampling = SamplingOptions(temperature=0, logit_bias={300: 1000.0})
    wanted = GenerateRequest(
        prompt="a b", max_tokens=30, sampling=sampling, state_file=str(state), stop=("zz",)
    )
    guessing = LoadOptions(n_threads=1, flash_attn=False, n_draft=8)
    backend = load(tiny_llama, options=guessing)
    finished = ask(backend, wanted).finished
    assert finished.note == ""
    assert len(load_tokens(state)) <= finished.usage.prompt_tokens + finished.usage.completion_tokens
    fresh = load(tiny_llama, options=guessing)
    assert ask(fresh, wanted).finished.usage.cached_tokens == finished.usage.prompt_tokens - 1
