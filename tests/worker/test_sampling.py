"""Sampler chains: which samplers run, in which order, and what they do to the text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import GenerateRequest, TokenLogprob
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker import sampling
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.llama_backend import LlamaBackend
from kobold_tui.engine.worker.sampling import SamplerChain, schema_to_gbnf
from kobold_tui.engine.worker.vocab import Vocab
from kobold_tui.engine.worker.weights import Weights, load_weights

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]


@pytest.fixture
def vocab(tiny_llama: Path) -> Any:
    from kobold_tui.domain.instance import LoadSpec

    weights: Weights = load_weights(LoadSpec(path=str(tiny_llama)), lambda _f: None, lambda: False)
    yield weights.vocab
    weights.close()


def names(vocab: Vocab, **options: Any) -> tuple[str, ...]:
    chain = SamplerChain(vocab, SamplingOptions(**options), [1, 300, 301], 512)
    found = chain.names()
    chain.free()
    return found


NEUTRAL: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def test_neutral_values_leave_only_the_draw(vocab: Vocab) -> None:
    assert names(vocab, **NEUTRAL) == ("dist",)


def test_the_default_chain_holds_what_does_something(vocab: Vocab) -> None:
    assert names(vocab) == ("top-k", "top-p", "min-p", "temp", "dist")


def test_every_sampler_can_be_in_the_chain_in_the_order_asked(vocab: Vocab) -> None:
    everything = {
        "temperature": 0.7,
        "dynatemp_range": 0.2,
        "typical_p": 0.9,
        "top_n_sigma": 2.0,
        "xtc_probability": 0.5,
        "repeat_penalty": 1.1,
        "dry_multiplier": 0.8,
    }
    order = ("temperature", "xtc", "min_p", "top_p", "typical_p", "top_k", "top_n_sigma", "dry", "penalties")
    wanted = ("temp-ext", "xtc", "min-p", "top-p", "typical", "top-k", "top-n-sigma", "dry", "penalties")
    assert names(vocab, order=order, **everything) == (*wanted, "dist")
    assert names(vocab, order=("infill",), **everything) == ("infill", "dist")


def test_greedy_keeps_penalties_and_bans_alone(vocab: Vocab) -> None:
    found = names(vocab, temperature=0, repeat_penalty=1.2, banned_tokens=(5,), xtc_probability=0.5)
    assert found == ("logit-bias", "penalties", "greedy")


def test_mirostat_and_adaptive_p_draw_in_place_of_dist(vocab: Vocab) -> None:
    assert names(vocab, mirostat=1, repeat_penalty=1.1) == ("penalties", "temp", "mirostat")
    assert names(vocab, mirostat=2) == ("temp", "mirostat-v2")
    assert names(vocab, adaptive_target=0.5, **NEUTRAL) == ("adaptive-p",)


def test_a_large_vocabulary_gets_a_wide_filter_first(vocab: Vocab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_LARGE_VOCAB", 100)
    assert names(vocab, **NEUTRAL) == ("top-k", "dist")
    assert names(vocab, prefilter_top_k=0, **NEUTRAL) == ("dist",)


def test_the_same_seed_gives_the_same_text_and_another_one_does_not(
    load: LoadBackend, ask: Ask, tiny_llama: Path
) -> None:
    def text(seed: int | None) -> str:
        options = SamplingOptions(temperature=1.5, top_k=0, seed=seed)
        return str(ask(load(tiny_llama), GenerateRequest(prompt="a", max_tokens=30, sampling=options)).text)

    assert text(7) == text(7)
    assert text(7) != text(8)
    assert text(None) != text(None)


def test_a_banned_token_is_never_drawn(backend: LlamaBackend, ask: Ask) -> None:
    def drawn(*banned: int) -> list[int]:
        options = SamplingOptions(temperature=0, banned_tokens=banned)
        request = GenerateRequest(prompt="a", max_tokens=30, sampling=options, logprobs=1)
        return [entry.token for delta in ask(backend, request).deltas for entry in delta.logprobs]

    first = drawn()[0]
    assert first not in drawn(first)


def test_a_penalty_counts_the_prompt(backend: LlamaBackend, ask: Ask) -> None:
    likeliest = ask(
        backend,
        GenerateRequest(prompt="a", max_tokens=1, sampling=SamplingOptions(temperature=0), logprobs=1),
    ).deltas[0]
    token = likeliest.logprobs[0].token
    prompt = "a" + likeliest.text
    plain = SamplingOptions(temperature=0, logit_bias={token: 50.0})
    punished = SamplingOptions(temperature=0, logit_bias={token: 50.0}, presence_penalty=100.0)
    assert backend.tokenize(prompt, add_special=True, parse_special=True)[-1] == token
    assert ask(backend, GenerateRequest(prompt=prompt, max_tokens=1, sampling=plain)).text == likeliest.text
    assert (
        ask(backend, GenerateRequest(prompt=prompt, max_tokens=1, sampling=punished)).text != likeliest.text
    )


def test_a_grammar_is_followed(backend: LlamaBackend, ask: Ask) -> None:
    options = SamplingOptions(temperature=0, grammar='root ::= "ab" | "abab"')
    answer = ask(backend, GenerateRequest(prompt="hello", max_tokens=20, sampling=options))
    assert answer.text in {"ab", "abab"}
    assert answer.finished.reason == "stop"


class CountedCalls:
    """A function that counts how often it is called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.count = 0

    def __call__(self, *arguments: Any) -> Any:
        self.count += 1
        return self._function(*arguments)


def test_the_vocabulary_is_read_for_dry_once_for_each_choice_of_settings(
    load: Callable[..., LlamaBackend], ask: Ask, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [
        SamplingOptions(temperature=0, dry_multiplier=50.0, dry_allowed_length=length, logit_bias={300: 30.0})
        for length in (2, 2, 9, 2)
    ]
    wanted = [GenerateRequest(prompt="a b a b a b", max_tokens=40, sampling=options) for options in chosen]
    fresh = [ask(load(tiny_llama), request).text for request in wanted]
    backend, read = load(tiny_llama), CountedCalls(C.llama_sampler_init_dry)
    monkeypatch.setattr(C, "llama_sampler_init_dry", read)
    assert [ask(backend, request).text for request in wanted] == fresh
    assert fresh[0] != fresh[2]
    assert read.count == 3


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_grammar_that_leaves_nothing_to_write_ends_its_answer_and_no_other(
    backend: LlamaBackend, finish_all: Callable[[LlamaBackend], dict[int, Any]], temperature: float
) -> None:
    end = backend._loaded.vocab.eos
    options = SamplingOptions(temperature=temperature, grammar='root ::= "yes"', banned_tokens=(end,))
    backend.start(1, GenerateRequest(prompt="hello", max_tokens=20, sampling=options))
    backend.start(2, GenerateRequest(prompt="hello", max_tokens=20, sampling=SamplingOptions(temperature=0)))
    answers = finish_all(backend)
    assert (answers[1].text, answers[1].finished.reason) == ("yes", "stop")
    assert "of all that the grammar allows next the model can write nothing" in answers[1].finished.note
    assert answers[2].finished.usage.completion_tokens == 20


def test_a_bad_grammar_is_refused_in_words_and_costs_nothing(backend: LlamaBackend, ask: Ask) -> None:
    for grammar in ("root ::= (", 'other ::= "a"', "nonsense"):
        options = SamplingOptions(grammar=grammar)
        with pytest.raises(EngineError, match="cannot read the grammar"):
            backend.start(1, GenerateRequest(prompt="x", sampling=options))
    assert not backend.busy
    assert ask(backend, GenerateRequest(prompt="x", max_tokens=3)).finished.reason == "length"


def test_a_json_schema_is_followed(backend: LlamaBackend, ask: Ask) -> None:
    schema = json.dumps({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})
    options = SamplingOptions(temperature=0, json_schema=schema)
    answer = ask(backend, GenerateRequest(prompt="hello", max_tokens=60, sampling=options))
    assert isinstance(json.loads(answer.text)["ok"], bool)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "is not JSON"),
        ('{"$ref": "https://example.com/schema.json"}', "refers to another document"),
        ('{"anyOf": [{"$ref": "file:///etc/passwd"}]}', "refers to another document"),
        ('{"type": "unheard-of"}', "cannot be turned into a grammar"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema: str, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        schema_to_gbnf(schema)


def test_a_token_outside_the_vocabulary_is_refused(backend: LlamaBackend) -> None:
    for options in (SamplingOptions(banned_tokens=(100_000,)), SamplingOptions(logit_bias={-3: 1.0})):
        with pytest.raises(EngineError, match="the vocabulary has 512"):
            backend.start(1, GenerateRequest(prompt="x", sampling=options))


def logprobs(backend: LlamaBackend, ask: Ask, n: int) -> list[TokenLogprob]:
    options = SamplingOptions(temperature=0)
    request = GenerateRequest(prompt="hello", max_tokens=12, sampling=options, logprobs=n)
    return [entry for delta in ask(backend, request).deltas for entry in delta.logprobs]


def test_greedy_tokens_are_the_likeliest_and_probabilities_add_up(backend: LlamaBackend, ask: Ask) -> None:
    entries = logprobs(backend, ask, 100)
    assert len(entries) == 12
    for entry in entries:
        assert len(entry.alternatives) == 100
        assert entry.alternatives[0] == (entry.token, entry.text, entry.logprob)
        values = [value for _, _, value in entry.alternatives]
        assert values == sorted(values, reverse=True)
        assert 0.5 < sum(map(math.exp, values)) <= 1.0001


def test_probabilities_are_only_read_when_asked_for(backend: LlamaBackend, ask: Ask) -> None:
    assert logprobs(backend, ask, 0) == []


def test_a_token_that_no_penalty_reaches_keeps_its_probability(
    load: LoadBackend, ask: Ask, tmp_path: Path
) -> None:
    path = write_tiny_llama(tmp_path / "m.gguf", n_vocab=1024)
    few, many = (logprobs(load(path), ask, count)[0] for count in (1, 50))
    assert few.logprob == pytest.approx(many.logprob, abs=1e-5)
