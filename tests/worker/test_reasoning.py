"""Thinking told from the answer in every family's tags, and ended when its budget is used up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import write_tiny_llama

from kobold_tui.domain.generation import GenerateRequest, Message, PromptProgress
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.llama_backend import LlamaBackend
from kobold_tui.engine.worker.reasoning import TAGS, ReasoningSplit, opened_by

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]

HARMONY = (
    "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>commentary<|message|>First."
    " <|end|><|start|>assistant<|channel|>analysis<|message|> More.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>It is 4."
)
WRITTEN = [
    *((f"\n{tags.opening}\nLet me see.{tags.closing}\n\nIt is 4.", "Let me see.") for tags in TAGS),
    (HARMONY, "Let me see.More."),
]


def split(text: str, sizes: list[int], splitter: ReasoningSplit | None = None) -> tuple[str, str]:
    """Feed a text cut into pieces; returns the thinking and the answer."""
    splitter = splitter or ReasoningSplit()
    pieces = []
    for size in sizes:
        pieces += splitter.feed(text[:size])
        text = text[size:]
    pieces += splitter.feed(text) + splitter.finish()
    thinking, answer = (
        "".join(t for t, is_thinking in pieces if is_thinking is want) for want in (True, False)
    )
    return thinking, answer


@pytest.mark.parametrize(("text", "thinking"), WRITTEN)
@given(sizes=st.lists(st.integers(0, 9), max_size=60))
def test_thinking_is_split_off_however_the_text_is_cut(text: str, thinking: str, sizes: list[int]) -> None:
    answer = "First. It is 4." if text == HARMONY else "It is 4."
    assert split(text, sizes) == (thinking, answer)


@pytest.mark.parametrize("tags", TAGS)
def test_thinking_that_the_prompt_began_goes_on(tags: Any) -> None:
    inside = opened_by(f"assistant: {tags.opening}\n")
    assert inside == tags
    assert split(f"hm{tags.closing}yes", [], ReasoningSplit(inside=inside)) == ("hm", "yes")


def test_a_channel_that_the_prompt_began_goes_on() -> None:
    inside = opened_by("<|start|>assistant<|channel|>analysis<|message|>")
    rest = "hm<|end|><|start|>assistant<|channel|>final<|message|>yes"
    assert split(rest, [], ReasoningSplit(inside=inside)) == ("hm", "yes")


@pytest.mark.parametrize("text", ["It is <think> 4.", "[TH", "[THIN", "<|chan", "plain", "<seed:thing>"])
def test_what_only_looks_like_a_tag_is_answer(text: str) -> None:
    assert split(text, [1] * len(text)) == ("", text)


def test_a_channel_header_without_end_is_no_header() -> None:
    text = "<|channel|>" + "on and on " * 40
    assert split(text, [10] * 60) == ("", text)


@pytest.mark.parametrize("tags", [*TAGS, None])
def test_the_closing_text_ends_the_thinking(tags: Any) -> None:
    splitter = ReasoningSplit()
    splitter.feed((tags.opening if tags else "<|channel|>analysis<|message|>") + "on and on")
    assert splitter.thinking
    assert splitter.feed(splitter.closing + "done")[-1] == ("done", False)
    assert not splitter.thinking


THINKING_TEMPLATE = "{% for m in messages %}{{ m.content }}\n{% endfor %}assistant: <think>"


@pytest.fixture
def thinker(load: LoadBackend, tmp_path: Path) -> LlamaBackend:
    """A model whose template opens the thinking, and which never closes it by itself."""
    return load(write_tiny_llama(tmp_path / "thinker.gguf", chat_template=THINKING_TEMPLATE))


def chat(**fields: Any) -> GenerateRequest:
    messages = (Message(role="user", content="hello"),)
    sampling = SamplingOptions(temperature=0)
    return GenerateRequest(messages=messages, **{"max_tokens": 60, "sampling": sampling, **fields})


def test_without_a_budget_thinking_goes_on(thinker: LlamaBackend, ask: Ask) -> None:
    answer = ask(thinker, chat())
    assert (bool(answer.reasoning), answer.text) == (True, "")


@pytest.mark.parametrize("budget", [0, 1, 12])
def test_thinking_ends_when_its_budget_is_used_up(thinker: LlamaBackend, ask: Ask, budget: int) -> None:
    n_closing = len(thinker.tokenize("</think>", add_special=False, parse_special=True))
    answer = ask(thinker, chat(reasoning_budget=budget, max_tokens=budget + n_closing + 20))
    thought = [delta for delta in answer.deltas if delta.reasoning]
    assert bool(answer.reasoning) is (budget > 0)
    assert ask(thinker, chat()).reasoning.startswith(answer.reasoning.rstrip())
    assert sum(delta.n_tokens for delta in thought) <= budget + n_closing
    assert answer.text
    assert "think" not in answer.text
    assert answer.finished.usage.completion_tokens == budget + n_closing + 20


def test_the_answer_goes_on_from_the_closed_thinking(thinker: LlamaBackend, ask: Ask) -> None:
    answer = ask(thinker, chat(reasoning_budget=3, max_tokens=30, logprobs=1))
    drawn = [entry.token for delta in answer.deltas for entry in delta.logprobs]
    prompt = list(thinker.render(chat().messages, {}).tokens)
    closing = list(thinker.tokenize("</think>", add_special=False, parse_special=True))
    written = thinker.detokenize([*prompt, *drawn[:3], *closing])
    decoder = thinker._decoder
    assert decoder is not None
    (slot,) = [slot for slot in decoder._slots if slot.cached]
    assert thinker.detokenize(slot.cached[: len(prompt) + 3 + len(closing)]) == written


def test_the_closing_tag_counts_as_tokens_and_stops_at_their_limit(thinker: LlamaBackend, ask: Ask) -> None:
    answer = ask(thinker, chat(reasoning_budget=3, max_tokens=5))
    assert (answer.finished.reason, answer.finished.usage.completion_tokens) == ("length", 5)


@pytest.mark.parametrize("max_tokens", [1, 3])
def test_a_closing_tag_that_fills_the_answer_is_all_of_it(
    thinker: LlamaBackend, ask: Ask, max_tokens: int
) -> None:
    closing = list(thinker.tokenize("</think>", add_special=False, parse_special=True))
    assert len(closing) >= max_tokens
    answer = ask(thinker, chat(reasoning_budget=0, max_tokens=max_tokens))
    assert (answer.finished.reason, answer.finished.usage.completion_tokens) == ("length", max_tokens)


def test_a_stop_string_at_the_end_of_the_budget_ends_the_answer_there(
    thinker: LlamaBackend, ask: Ask
) -> None:
    thought = ask(thinker, chat(max_tokens=3)).reasoning
    answer = ask(thinker, chat(reasoning_budget=3, stop=(thought,)))
    assert (answer.finished.reason, answer.finished.stop_string) == ("stop", thought)
    assert answer.finished.usage.completion_tokens == 3


def test_penalties_know_the_closing_tag_that_was_written_for_the_model(
    thinker: LlamaBackend, ask: Ask
) -> None:
    closing = thinker.tokenize("</think>", add_special=False, parse_special=True)
    wanted = set(closing) - set(thinker.render(chat().messages, {}).tokens)
    assert wanted
    sampling = SamplingOptions(
        temperature=0, logit_bias=dict.fromkeys(wanted, 500.0), presence_penalty=1000.0, repeat_last_n=-1
    )
    answer = ask(thinker, chat(reasoning_budget=0, sampling=sampling, logprobs=1, max_tokens=30))
    drawn = {entry.token for delta in answer.deltas for entry in delta.logprobs}
    assert drawn
    assert not drawn & wanted


def test_the_progress_of_a_prompt_never_counts_what_was_written_for_the_model(
    load: LoadBackend, ask: Ask, tmp_path: Path
) -> None:
    path = write_tiny_llama(tmp_path / "thinker.gguf", chat_template="hello " * 20 + "<think>")
    backend = load(path, options=LoadOptions(n_threads=1, n_ubatch=16))
    answer = ask(backend, chat(reasoning_budget=0, max_tokens=20))
    progress = [event for event in answer.events if isinstance(event, PromptProgress)]
    assert len(progress) > 1
    assert max(event.done for event in progress) == progress[0].total == answer.finished.usage.prompt_tokens


def test_a_grammar_writes_the_answer_even_behind_an_opened_tag(thinker: LlamaBackend, ask: Ask) -> None:
    sampling = SamplingOptions(temperature=0, grammar='root ::= "yes"')
    answer = ask(thinker, chat(reasoning_budget=0, sampling=sampling))
    assert (answer.text, answer.reasoning) == ("yes", "")


def test_a_grammar_with_thinking_of_its_own_is_not_cut_short(backend: LlamaBackend, ask: Ask) -> None:
    sampling = SamplingOptions(temperature=0, grammar='root ::= "<think>" "abcabc" "</think>" "yes"')
    answer = ask(backend, chat(reasoning_budget=1, sampling=sampling))
    assert (answer.text, answer.reasoning) == ("yes", "abcabc")


def test_tags_that_are_control_tokens_are_seen(load: LoadBackend, ask: Ask, tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "m.gguf", chat_template="assistant: [THINK]")
    backend = load(path)
    decoder = backend._decoder
    assert decoder is not None
    closing = backend.tokenize("q", add_special=False, parse_special=False)[-1]
    backend._loaded.vocab._pieces[closing] = b""
    decoder._markers[closing] = b"[/THINK]"
    sampling = SamplingOptions(temperature=0, logit_bias={closing: 1000.0}, presence_penalty=2000.0)
    answer = ask(backend, chat(sampling=sampling, max_tokens=10))
    assert answer.reasoning == ""
    assert answer.text
    assert "THINK" not in answer.text


def test_control_tokens_among_texts_are_found(backend: LlamaBackend) -> None:
    assert backend._loaded.vocab.control_tokens(("<s>", "</s>", "a", "no such")) == {1: b"<s>", 2: b"</s>"}
