"""Guessed tokens: the same text as without guessing, in fewer decodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import write_tiny_mamba, write_tiny_swa

from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.llama_backend import LlamaBackend
from kobold_tui.engine.worker.lookup import PromptLookup

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]
FinishAll = Callable[[LlamaBackend], dict[int, Any]]

REPETITIVE = "one two three four five six seven one two three four five six seven one two three"
GREEDY = SamplingOptions(temperature=0)
CYCLE = SamplingOptions(temperature=0, grammar='root ::= ("abc abd ")+', banned_tokens=(2,))
WARM = SamplingOptions(temperature=0.3, top_k=3, repeat_penalty=1.05, seed=11)


def options(n_draft: int, **fields: Any) -> LoadOptions:
    return LoadOptions(n_threads=1, n_draft=n_draft, flash_attn=False, **fields)


def request(prompt: str = REPETITIVE, max_tokens: int = 200, **fields: Any) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, max_tokens=max_tokens, **{"sampling": GREEDY, **fields})


def steps(backend: LlamaBackend, wanted: GenerateRequest) -> int:
    backend.start(1, wanted)
    count = 0
    while backend.busy:
        list(backend.step())
        count += 1
    return count


@pytest.mark.parametrize("sampling", [GREEDY, CYCLE, WARM], ids=["greedy", "grammar", "warm"])
@pytest.mark.parametrize("n_draft", [1, 4, 16])
def test_guessing_changes_no_text(
    load: LoadBackend, ask: Ask, tiny_llama: Path, sampling: SamplingOptions, n_draft: int
) -> None:
    wanted = request(sampling=sampling, logprobs=1)
    plain = ask(load(tiny_llama, options=options(0)), wanted)
    guessed = ask(load(tiny_llama, options=options(n_draft)), wanted)
    assert guessed.text == plain.text
    assert guessed.finished.usage.completion_tokens == plain.finished.usage.completion_tokens == 200
    tokens = [[e.token for d in answer.deltas for e in d.logprobs] for answer in (plain, guessed)]
    assert tokens[0] == tokens[1]


def test_text_that_repeats_takes_fewer_decodes(load: LoadBackend, tiny_llama: Path) -> None:
    wanted = request(sampling=SamplingOptions(temperature=0, logit_bias={300: 1000.0}))
    assert steps(load(tiny_llama, options=options(0)), wanted) == 200
    assert steps(load(tiny_llama, options=options(16)), wanted) < 20


def test_guessing_slots_beside_each_other_and_a_prompt_keep_their_texts(
    load: LoadBackend, ask: Ask, tiny_llama: Path, finish_all: FinishAll
) -> None:
    prompts = (REPETITIVE, "a b a b a b a", "hello hello hello", "x y z " * 100)
    small = options(8, n_batch=64, n_ubatch=64)
    backend = load(tiny_llama, options=small)
    for number, prompt in enumerate(prompts):
        backend.start(number, request(prompt, 120, sampling=CYCLE if number % 2 else GREEDY))
    answers = finish_all(backend)
    for number, prompt in enumerate(prompts):
        alone = request(prompt, 120, sampling=CYCLE if number % 2 else GREEDY)
        assert answers[number].text == ask(load(tiny_llama, options=options(0)), alone).text


@pytest.mark.parametrize("n_ctx", [256, 512])
def test_a_sliding_window_is_rolled_back_right(
    load: LoadBackend, ask: Ask, tmp_path: Path, n_ctx: int
) -> None:
    path = write_tiny_swa(tmp_path / "swa.gguf")
    small = {"n_ctx": n_ctx, "n_seq_max": 1, "n_batch": 32, "n_ubatch": 32}
    texts = [
        ask(load(path, options=options(n_draft, **small)), request(max_tokens=150)).text for n_draft in (0, 8)
    ]
    assert texts[0] == texts[1]


def test_guessing_goes_on_after_the_window_has_moved(load: LoadBackend, ask: Ask, tiny_llama: Path) -> None:
    wanted = request(max_tokens=700)
    plain = ask(load(tiny_llama, options=options(0, n_ctx=256)), wanted)
    guessed = ask(load(tiny_llama, options=options(8, n_ctx=256)), wanted)
    assert guessed.text == plain.text
    assert guessed.finished.note == plain.finished.note


def test_a_full_context_ends_at_the_same_token(load: LoadBackend, ask: Ask, tiny_llama: Path) -> None:
    wanted = request(max_tokens=700, context_shift=False)
    ends = [ask(load(tiny_llama, options=options(n, n_ctx=256)), wanted).finished for n in (0, 8)]
    assert ends[0].usage.completion_tokens == ends[1].usage.completion_tokens
    assert "is full" in ends[1].note


def test_a_shared_context_without_room_for_guesses_gives_all_answers_whole(
    load: LoadBackend, tiny_llama: Path, finish_all: FinishAll
) -> None:
    backend = load(tiny_llama, options=options(16, n_ctx=256, n_seq_max=2))
    for number in (1, 2):
        backend.start(number, request(f"{number}", 150, sampling=CYCLE))
    answers = finish_all(backend)
    assert [answers[n].finished.usage.completion_tokens for n in (1, 2)] == [150, 150]


def test_a_stop_string_within_a_guess_ends_the_answer_there(
    load: LoadBackend, ask: Ask, tiny_llama: Path
) -> None:
    wanted = request(sampling=CYCLE, max_tokens=64, stop=("d abc abd abc abd",))
    backend = load(tiny_llama, options=options(16))
    first = ask(backend, wanted)
    assert first.text == ask(load(tiny_llama, options=options(0)), wanted).text
    again = ask(backend, request(REPETITIVE + first.text, 30)).text
    assert again == ask(load(tiny_llama, options=options(0)), request(REPETITIVE + first.text, 30)).text


def test_a_recurrent_model_does_not_guess_and_says_so(
    load: LoadBackend, ask: Ask, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_tiny_mamba(tmp_path / "mamba.gguf")
    guessed = ask(load(path, options=options(8)), request(max_tokens=40)).text
    assert "prompt lookup is off: the state of mamba.gguf cannot be rolled back" in capfd.readouterr().err
    assert guessed == ask(load(path, options=options(0)), request(max_tokens=40)).text


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 12))
def test_a_guess_goes_on_as_the_same_tokens_did_before(tokens: list[int], limit: int) -> None:
    draft = PromptLookup(8).draft(tokens, limit)
    whole = [*tokens, *draft]
    places = [at for at in range(2, len(tokens)) if tokens[at - 2 : at] == tokens[-2:]]
    assert len(draft) == (min(limit, 8) if places else 0)
    assert not draft or any(whole[at : at + len(draft)] == draft for at in places)


@given(st.lists(st.integers(0, 3), min_size=20, max_size=60), st.integers(1, 10), st.integers(1, 10))
def test_a_guess_after_forgetting_is_that_of_a_lookup_that_never_saw_the_old_text(
    tokens: list[int], n_keep: int, n_drop: int
) -> None:
    lookup = PromptLookup(8)
    lookup.draft(tokens, 8)
    lookup.forget()
    shortened = tokens[:n_keep] + tokens[n_keep + n_drop :]
    assert lookup.draft(shortened, 8) == PromptLookup(8).draft(shortened, 8)


def test_a_text_that_repeats_itself_is_guessed_as_well_after_the_window_has_moved(
    load: LoadBackend, tiny_llama: Path
) -> None:
    backend = load(tiny_llama, options=options(8, n_ctx=256))
    backend.start(
        1, request(max_tokens=700, sampling=SamplingOptions(temperature=0, logit_bias={300: 1000.0}))
    )
    n_steps = 0
    while backend.busy and n_steps < 700:
        list(backend.step())
        n_steps += 1
    assert not backend.busy
    assert n_steps < 700 / 6


def test_fewer_guesses_than_asked_for_are_told_in_the_log(
    load: LoadBackend, ask: Ask, tiny_llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = load(tiny_llama, options=options(8, n_outputs_max=12))
    told = "guesses 2 tokens instead of 8: n_outputs_max is 12, and 4 slots need 36"
    assert told in capfd.readouterr().err
    assert ask(backend, request()).text == ask(load(tiny_llama, options=options(0)), request()).text
    load(tiny_llama, options=options(8))
    assert "guesses" not in capfd.readouterr().err


def test_wrong_guesses_become_shorter_and_right_ones_longer_again() -> None:
    lookup, tokens = PromptLookup(8), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3]
    assert lookup.draft(tokens, 99) == [4, 5, 6, 7, 8, 9, 10, 1]
    lookup.note_result(8, 0)
    lookup.note_result(4, 0)
    assert lookup.draft(tokens, 99) == [4, 5]
    lookup.note_result(2, 2)
    assert lookup.draft(tokens, 99) == [4, 5, 6, 7]
    lookup.note_result(4, 2)
    assert len(lookup.draft(tokens, 99)) == 4
