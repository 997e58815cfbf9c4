"""Answers of the decode loop: the same text as llama.cpp's own, and ended for the right reason."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_mamba, write_tiny_swa

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import GenerateRequest, Message, PromptProgress
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.llama_backend import LlamaBackend

GREEDY = SamplingOptions(temperature=0)
PROMPTS = ("hello world", "a quick brown fox", "tell me more of it", "what is this")

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]
FinishAll = Callable[[LlamaBackend], dict[int, Any]]


def request(prompt: str, max_tokens: int = 40, **fields: Any) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, max_tokens=max_tokens, **{"sampling": GREEDY, **fields})


def plain_loop(path: Path, prompt: str, n_tokens: int) -> str:
    """Greedy text by llama.cpp's API alone: tokenize, decode, sample, piece."""
    model = C.llama_model_load_from_file(str(path).encode(), C.llama_model_default_params())
    params = C.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_threads, params.n_threads_batch = 2048, 512, 1, 1
    context = C.llama_init_from_model(model, params)
    vocab = C.llama_model_get_vocab(model)
    data = prompt.encode()
    tokens = (C.llama_token * (len(data) + 8))()
    count = C.llama_tokenize(vocab, data, len(data), tokens, len(tokens), True, True)
    greedy = C.llama_sampler_init_greedy()
    text, batch = b"", C.llama_batch_get_one(tokens, count)
    for _ in range(n_tokens):
        assert C.llama_decode(context, batch) == 0
        drawn = (C.llama_token * 1)(C.llama_sampler_sample(greedy, context, -1))
        if C.llama_vocab_is_eog(vocab, drawn[0]):
            break
        piece = ctypes.create_string_buffer(64)
        length = C.llama_token_to_piece(vocab, drawn[0], piece, 64, 0, False)
        text += piece.raw[:length]
        batch = C.llama_batch_get_one(drawn, 1)
    C.llama_sampler_free(greedy)
    C.llama_free(context)
    C.llama_model_free(model)
    return text.decode()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_equals_a_plain_loop_over_the_api(
    backend: LlamaBackend, ask: Ask, tiny_llama: Path, prompt: str
) -> None:
    expected = plain_loop(tiny_llama, prompt, 64)
    assert len(expected) > 40
    assert ask(backend, request(prompt, 64)).text == expected


def test_a_mixture_of_experts_gives_the_same_text_too(load: LoadBackend, ask: Ask, tiny_moe: Path) -> None:
    assert ask(load(tiny_moe), request(PROMPTS[0])).text == plain_loop(tiny_moe, PROMPTS[0], 40)


def test_answers_in_parallel_have_the_same_text_as_alone(
    load: LoadBackend, tiny_llama: Path, finish_all: FinishAll
) -> None:
    together = load(tiny_llama)
    for number, prompt in enumerate(PROMPTS):
        together.start(number, request(prompt))
    answers = finish_all(together)
    assert [answers[n].text for n in range(4)] == [plain_loop(tiny_llama, p, 40) for p in PROMPTS]


def test_answers_beyond_the_number_of_slots_wait_and_are_given(
    load: LoadBackend, tiny_llama: Path, finish_all: FinishAll
) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_seq_max=2))
    for number in range(7):
        backend.start(number, request(PROMPTS[number % 4], 10))
    answers = finish_all(backend)
    assert sorted(answers) == list(range(7))
    assert {answer.finished.usage.completion_tokens for answer in answers.values()} == {10}


def test_a_limit_ends_an_answer_with_length(backend: LlamaBackend, ask: Ask) -> None:
    finished = ask(backend, request("hello", 7)).finished
    assert (finished.reason, finished.usage.completion_tokens) == ("length", 7)


def test_usage_counts_prompt_and_answer_and_times_them(backend: LlamaBackend, ask: Ask) -> None:
    answer = ask(backend, request("hello world", 20))
    usage = answer.finished.usage
    n_prompt = len(backend.tokenize("hello world", add_special=True, parse_special=True))
    assert (usage.prompt_tokens, usage.cached_tokens) == (n_prompt, 0)
    assert sum(delta.n_tokens for delta in answer.deltas) == usage.completion_tokens == 20
    assert usage.seconds_to_first_token
    assert usage.tokens_per_second
    assert usage.prompt_tokens_per_second


def test_an_end_token_stops_the_answer(backend: LlamaBackend, ask: Ask) -> None:
    biased = SamplingOptions(temperature=0, logit_bias={2: 1000.0})
    answer = ask(backend, request("hello", 20, sampling=biased))
    assert (answer.text, answer.finished.reason) == ("", "stop")


def test_a_stop_string_across_tokens_ends_the_answer_and_is_not_shown(
    backend: LlamaBackend, ask: Ask
) -> None:
    whole = ask(backend, request("hello world")).text
    stop = whole[15:24]
    answer = ask(backend, request("hello world", stop=("never", stop)))
    assert answer.text == whole[: whole.index(stop)]
    assert (answer.finished.reason, answer.finished.stop_string) == ("stop", stop)
    assert answer.finished.usage.completion_tokens < 40


def test_a_cancel_while_writing_keeps_the_text_so_far(backend: LlamaBackend, finish_all: FinishAll) -> None:
    backend.start(1, request("hello", 500))
    for _ in range(5):
        list(backend.step())
    backend.cancel(1)
    backend.interrupt()
    finished = finish_all(backend)[1].finished
    assert finished.reason == "cancelled"
    assert 4 <= finished.usage.completion_tokens <= 6


def test_a_cancel_while_a_long_prompt_is_read_ends_it_there(
    load: LoadBackend, tiny_llama: Path, finish_all: FinishAll
) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_ubatch=64))
    backend.start(1, request("hello " * 200))
    events = [event for _, event in backend.step()]
    assert isinstance(events[0], PromptProgress)
    assert events[0].done == 64
    backend.cancel(1)
    answer = finish_all(backend)[1]
    assert (answer.text, answer.finished.reason) == ("", "cancelled")


def test_progress_of_a_long_prompt_rises_to_its_length(load: LoadBackend, ask: Ask, tiny_llama: Path) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_ubatch=128))
    answer = ask(backend, request("hello " * 100, 3))
    progress = [event for event in answer.events if isinstance(event, PromptProgress)]
    total = answer.finished.usage.prompt_tokens
    assert [event.done for event in progress] == [*range(128, total, 128), total]


def test_an_interrupt_for_another_request_changes_no_text(
    backend: LlamaBackend, finish_all: FinishAll, ask: Ask
) -> None:
    undisturbed = ask(backend, request("some other prompt", 30)).text
    backend.start(2, request("some other prompt", 30))
    collected = ""
    while backend.busy:
        backend.interrupt()
        for _ in range(3):
            collected += "".join(getattr(event, "text", "") for _, event in backend.step())
    assert collected == undisturbed


def test_cancelling_an_answer_that_still_waits_ends_it(
    load: LoadBackend, tiny_llama: Path, finish_all: FinishAll
) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_seq_max=1))
    backend.start(1, request("hello", 5))
    backend.start(2, request("hello", 5))
    backend.cancel(2)
    answers = finish_all(backend)
    assert (answers[1].finished.reason, answers[2].finished.reason) == ("length", "cancelled")


def test_the_next_turn_evaluates_only_what_is_new(backend: LlamaBackend, ask: Ask) -> None:
    first = ask(backend, request("hello world", 20))
    prompt = "hello world" + first.text + " and on"
    fresh_tokens = len(backend.tokenize(prompt, add_special=True, parse_special=True))
    usage = ask(backend, request(prompt, 5)).finished.usage
    assert usage.prompt_tokens == fresh_tokens
    assert usage.cached_tokens >= 10


def test_a_beginning_that_two_chats_share_is_evaluated_once(
    backend: LlamaBackend, ask: Ask, load: LoadBackend, tiny_llama: Path
) -> None:
    system = "you are a helpful and very patient assistant "
    ask(backend, request(system + "for cooks", 60))
    second = ask(backend, request(system + "in a bank", 20))
    n_shared = len(backend.tokenize(system, add_special=True, parse_special=False)) - 2
    assert second.finished.usage.cached_tokens >= n_shared
    assert second.text == plain_loop(tiny_llama, system + "in a bank", 20)
    first_again = ask(backend, request(system + "for cooks", 5)).finished.usage
    assert first_again.cached_tokens == first_again.prompt_tokens - 1


def test_a_context_split_among_slots_shares_nothing_and_answers_right(
    load: LoadBackend, ask: Ask, tiny_llama: Path
) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, kv_unified=False, n_seq_max=2))
    ask(backend, request("hello world", 60))
    second = ask(backend, request("hello there", 20))
    assert second.finished.usage.cached_tokens == 0
    assert second.text == plain_loop(tiny_llama, "hello there", 20)


@pytest.mark.parametrize("n_shared", [20, *range(144, 172, 4), 300])
def test_a_sliding_window_that_has_moved_on_is_evaluated_again(
    load: LoadBackend, ask: Ask, tmp_path: Path, n_shared: int
) -> None:
    path = write_tiny_swa(tmp_path / "swa.gguf")
    options = LoadOptions(n_threads=1, n_seq_max=1, n_batch=32, n_ubatch=32)
    letters = "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 16
    longer = letters[: 2 * n_shared] + "z z y y x x w w"
    backend = load(path, options=options)
    ask(backend, request(letters[:800], 1))
    reused = ask(backend, request(longer, 30))
    assert reused.text == ask(load(path, options=options), request(longer, 30)).text
    assert (reused.finished.usage.cached_tokens > 0) is (n_shared > 162)


def test_recurrent_state_is_gone_on_with_or_made_anew(load: LoadBackend, ask: Ask, tmp_path: Path) -> None:
    path = write_tiny_mamba(tmp_path / "mamba.gguf")
    backend = load(path, options=LoadOptions(n_threads=1, n_seq_max=1))
    first = ask(backend, request("hello world", 20))
    assert first.text == plain_loop(path, "hello world", 20)
    edited = ask(backend, request("hello there", 20))
    assert edited.finished.usage.cached_tokens == 0
    assert edited.text == plain_loop(path, "hello there", 20)


def test_recurrent_answers_in_parallel_and_interrupted_have_the_same_text(
    load: LoadBackend, tmp_path: Path, finish_all: FinishAll
) -> None:
    path = write_tiny_mamba(tmp_path / "mamba.gguf")
    backend = load(path)
    for number, prompt in enumerate(PROMPTS):
        backend.start(number, request(prompt, 30))
    begun = "".join(getattr(e, "text", "") for _ in range(9) for n, e in backend.step() if n == 0)
    backend.interrupt()
    answers = finish_all(backend)
    assert begun + answers[0].text == plain_loop(path, PROMPTS[0], 30)


def test_a_full_context_ends_the_answer_with_a_note(load: LoadBackend, ask: Ask, tiny_llama: Path) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_ctx=256))
    finished = ask(backend, request("hello", 2000, context_shift=False)).finished
    assert finished.reason == "length"
    assert "context of 256 tokens is full" in finished.note
    usage = finished.usage
    assert usage.prompt_tokens + usage.completion_tokens == 257


def test_answers_that_outgrow_a_shared_context_are_all_given_whole(
    load: LoadBackend, ask: Ask, tiny_llama: Path, finish_all: FinishAll
) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_ctx=256))
    for number, prompt in enumerate(PROMPTS):
        backend.start(number, request(prompt, 120))
    answers = finish_all(backend)
    for number, prompt in enumerate(PROMPTS):
        assert answers[number].finished.usage.completion_tokens == 120
        assert answers[number].finished.note == ""
        assert answers[number].text.startswith(plain_loop(tiny_llama, prompt, 20))


def test_a_prompt_longer_than_the_context_is_refused_in_words(load: LoadBackend, tiny_llama: Path) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, n_ctx=256))
    with pytest.raises(EngineError, match=r"has [\d,]+ tokens; the context of tiny-llama-F32.gguf holds 256"):
        backend.start(1, request("hello " * 300))
    assert not backend.busy


def test_a_prefill_is_part_of_the_prompt_and_not_sent_back(backend: LlamaBackend, ask: Ask) -> None:
    chat = GenerateRequest(
        messages=(Message(role="user", content="hi"),), prefill=" sure", max_tokens=20, sampling=GREEDY
    )
    answer = ask(backend, chat)
    rendered = backend.render(chat.messages, {}).text
    assert answer.text == ask(backend, request(rendered + " sure", 20)).text
    assert not answer.text.startswith(" sure")


def test_images_are_refused_in_words(backend: LlamaBackend) -> None:
    with pytest.raises(EngineError, match="does not read images yet"):
        backend.start(1, GenerateRequest(messages=(Message(role="user", content="see", images=(b"x",)),)))


def test_tokens_become_the_same_text_again(backend: LlamaBackend) -> None:
    text = "hello wörld, 日本語 🙂"
    assert backend.detokenize(backend.tokenize(text, add_special=False, parse_special=False)) == text
