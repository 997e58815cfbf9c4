"""Hundreds of answers at random: every text is right, and nothing stays behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from kobold_tui.domain.generation import Finished, GenerateEvent, GenerateRequest, TextDelta
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]

GREEDY = SamplingOptions(temperature=0, dry_multiplier=0.5, repeat_penalty=1.1)
N_WRITTEN = 60
PROMPTS = (
    *(f"you are a patient assistant who speaks of {what}" for what in ("bread", "boats", "bees", "banks")),
    *("hello world", "a b a b a b a b", "tell me more of it", "the quick brown fox " * 20),
)
MOST_GROWTH_BYTES = 1 << 20


class Wish(NamedTuple):
    """A request at random and what must come of it."""

    prompt: str
    max_tokens: int
    stop: tuple[str, ...]
    cancelled: bool


def written_alone(backend: LlamaBackend, ask: Ask, prompt: str) -> list[str]:
    """Return the text of a greedy answer, token by token."""
    answer = ask(backend, GenerateRequest(prompt=prompt, max_tokens=N_WRITTEN, sampling=GREEDY))
    assert [delta.n_tokens for delta in answer.deltas] == [1] * N_WRITTEN
    return [delta.text for delta in answer.deltas]


def random_wish(rng: random.Random, written: dict[str, list[str]]) -> Wish:
    prompt = rng.choice(PROMPTS)
    text = "".join(written[prompt])
    at = rng.randrange(len(text) - 4)
    stop = (text[at : at + 4],) if rng.random() < 0.4 else ()
    return Wish(prompt, rng.randint(1, N_WRITTEN), stop, rng.random() < 0.25)


def check(wish: Wish, text: str, finished: Finished, tokens: list[str]) -> None:
    """Assert that an answer is the one that the prompt gets alone, ended for the right reason."""
    whole = "".join(tokens[: wish.max_tokens])
    cuts = [at for stop in wish.stop if (at := whole.find(stop)) >= 0]
    expected = whole[: min(cuts)] if cuts else whole
    if finished.reason == "cancelled":
        assert wish.cancelled
        assert whole.startswith(text)
        return
    assert text == expected
    assert finished.reason == ("stop" if cuts else "length")


class Campaign:
    """Starts, cancels and checks requests until `n_requests` have ended."""

    def __init__(self, backend: LlamaBackend, written: dict[str, list[str]], seed: int) -> None:
        self._backend = backend
        self._written = written
        self._rng = random.Random(seed)
        self._wishes: dict[int, Wish] = {}
        self._texts: dict[int, str] = {}
        self.n_ended = 0
        self._n_started = 0

    def run(self, n_requests: int) -> None:
        goal = self.n_ended + n_requests
        while self.n_ended < goal:
            while len(self._wishes) < self._rng.randint(1, 7):
                self._start()
            for number in [n for n, wish in self._wishes.items() if wish.cancelled]:
                if self._rng.random() < 0.05:
                    self._backend.cancel(number)
                    self._backend.interrupt()
            for number, event in self._backend.step():
                self._take(number, event)

    def drain(self) -> None:
        while self._backend.busy:
            for number, event in self._backend.step():
                self._take(number, event)
        assert not self._wishes

    def _start(self) -> None:
        wish = random_wish(self._rng, self._written)
        self._n_started += 1
        self._wishes[self._n_started], self._texts[self._n_started] = wish, ""
        self._backend.start(
            self._n_started,
            GenerateRequest(prompt=wish.prompt, max_tokens=wish.max_tokens, stop=wish.stop, sampling=GREEDY),
        )

    def _take(self, number: int, event: GenerateEvent) -> None:
        if isinstance(event, TextDelta):
            self._texts[number] += event.text
        if isinstance(event, Finished):
            wish = self._wishes.pop(number)
            check(wish, self._texts.pop(number), event, self._written[wish.prompt])
            self.n_ended += 1


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("n_draft", [0, 4])
@pytest.mark.parametrize("n_requests", [50, pytest.param(1000, marks=pytest.mark.soak)])
def test_answers_at_random_are_right_and_leave_nothing_behind(
    load: LoadBackend, ask: Ask, tiny_llama: Path, n_draft: int, n_requests: int
) -> None:
    n_warm_up = n_requests // 3
    options = LoadOptions(n_threads=1, n_ctx=768, flash_attn=False, n_draft=n_draft, n_batch=96, n_ubatch=96)
    written = {prompt: written_alone(load(tiny_llama, options=options), ask, prompt) for prompt in PROMPTS}
    backend = load(tiny_llama, options=options)
    campaign = Campaign(backend, written, seed=n_draft)
    campaign.run(n_warm_up)
    before = resident_bytes()
    campaign.run(n_requests - n_warm_up)
    grown = resident_bytes() - before
    campaign.drain()
    assert grown < MOST_GROWTH_BYTES
    decoder = backend._decoder
    assert decoder is not None
    assert not any(slot.generation for slot in decoder._slots)
    assert campaign.n_ended >= n_requests
