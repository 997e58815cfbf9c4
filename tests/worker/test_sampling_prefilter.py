"""A wide top-k ahead of the chain: a large vocabulary costs less and the same tokens are drawn."""

from __future__ import annotations

import ctypes
import math
import random
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.sampling import SamplerChain
from kobold_tui.engine.worker.vocab import Vocab
from kobold_tui.engine.worker.weights import load_weights

N_VOCAB = 120_000
TRUNCATING = SamplingOptions(order=("typical_p", "top_p", "min_p", "temperature"))
OPEN = SamplingOptions(top_k=0, top_p=1.0, min_p=0.0, temperature=0.8)
UNSORTED = SamplingOptions(top_k=0, top_p=1.0, min_p=0.05, order=("min_p", "temperature"))


@pytest.fixture
def vocab(tiny_llama: Path) -> Iterator[Vocab]:
    """A vocabulary that says it is a large one."""
    weights = load_weights(LoadSpec(path=str(tiny_llama)), lambda _f: None, lambda: False)
    weights.vocab.n_tokens = N_VOCAB
    yield weights.vocab
    weights.close()


class Candidates:
    """Logits as a language model gives them: a few likely tokens, a long tail."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self._logits = array("f", (rng.gauss(0, 2) for _ in range(N_VOCAB)))
        for rank in range(200):
            self._logits[rng.randrange(N_VOCAB)] = 18 - math.log(rank + 1)
        self._row = array("i", bytes(12 * N_VOCAB))

    def fresh(self) -> Any:
        bits = array("i")
        bits.frombytes(self._logits.tobytes())
        self._row[0::3] = array("i", range(N_VOCAB))
        self._row[1::3] = bits
        data = (C.llama_token_data * N_VOCAB).from_buffer(self._row)
        return C.llama_token_data_array(data, N_VOCAB, -1, False)


def draw(vocab: Vocab, candidates: Any, options: SamplingOptions) -> int:
    chain = SamplerChain(vocab, options, [1], 512)
    C.llama_sampler_apply(chain.handle, ctypes.byref(candidates))
    chain.free()
    return int(candidates.data[candidates.selected].id)


def variants(options: SamplingOptions, seed: int) -> tuple[SamplingOptions, SamplingOptions]:
    filtered = msgspec.structs.replace(options, seed=seed)
    return filtered, msgspec.structs.replace(filtered, prefilter_top_k=0)


def names(vocab: Vocab, **options: Any) -> tuple[str, ...]:
    chain = SamplerChain(vocab, SamplingOptions(**options), [1], 512)
    found = chain.names()
    chain.free()
    return found


def test_it_stands_ahead_of_what_would_look_at_every_token(vocab: Vocab) -> None:
    assert names(vocab, repeat_penalty=1.1)[:3] == ("top-k", "penalties", "top-k")
    assert names(vocab, top_k=0)[:2] == ("top-k", "top-p")
    assert names(vocab, top_k=0, top_p=1.0, min_p=0.0, temperature=1.0) == ("top-k", "dist")
    assert names(vocab, top_k=0, prefilter_top_k=0)[0] == "top-p"


def test_a_chain_that_begins_with_top_k_needs_none(vocab: Vocab) -> None:
    assert names(vocab) == ("top-k", "top-p", "min-p", "temp", "dist")
    assert names(vocab, temperature=0) == ("greedy",)


def test_a_truncating_chain_draws_the_same_tokens_with_and_without_it(vocab: Vocab) -> None:
    logits = Candidates(1)
    drawn = []
    for seed in range(40):
        filtered, plain = variants(TRUNCATING, seed)
        drawn.append(draw(vocab, logits.fresh(), filtered))
        assert drawn[-1] == draw(vocab, logits.fresh(), plain)
    assert len(set(drawn)) > 5


def test_a_chain_that_keeps_everything_loses_no_probability_worth_the_name(vocab: Vocab) -> None:
    filtered, plain = variants(OPEN, 1)
    chain = SamplerChain(vocab, filtered, [1], 512)
    candidates = Candidates(2).fresh()
    C.llama_sampler_apply(chain.handle, ctypes.byref(candidates))
    chain.free()
    kept = {candidates.data[index].id for index in range(candidates.size)}
    assert len(kept) == filtered.prefilter_top_k
    everything = Candidates(2).fresh()
    chain = SamplerChain(vocab, plain, [1], 512)
    C.llama_sampler_apply(chain.handle, ctypes.byref(everything))
    chain.free()
    assert everything.size == N_VOCAB
    lost = sum(entry.p for entry in everything.data[:N_VOCAB] if entry.id not in kept)
    assert lost < 0.001


@pytest.mark.parametrize("options", [TRUNCATING, UNSORTED])
def test_what_a_truncating_chain_keeps_is_the_same(vocab: Vocab, options: SamplingOptions) -> None:
    kept = []
    for variant in variants(options, 3):
        chain = SamplerChain(vocab, variant, [1], 512)
        candidates = Candidates(3).fresh()
        C.llama_sampler_apply(chain.handle, ctypes.byref(candidates))
        chain.free()
        kept.append({candidates.data[index].id for index in range(candidates.size)})
    assert kept[0] == kept[1]
    assert 1 < len(kept[0]) < 100
