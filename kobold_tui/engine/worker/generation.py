"""One answer that is being made: its tokens, sampler chain, text and clock."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kobold_tui.domain.generation import (
    Finished,
    FinishReason,
    GenerateEvent,
    GenerateRequest,
    TextDelta,
    TokenLogprob,
    Usage,
)
from kobold_tui.engine.worker.sampling import SamplerChain
from kobold_tui.engine.worker.text_stream import ReasoningSplit, TextStream


class Generation:
    """A running answer; `tokens` is the prompt followed by what was drawn so far."""

    def __init__(
        self,
        request_id: int,
        request: GenerateRequest,
        prompt: Sequence[int],
        chain: SamplerChain,
        text: TextStream,
    ) -> None:
        self.request_id = request_id
        self.request = request
        self.tokens = list(prompt)
        self.n_prompt = len(prompt)
        self.chain = chain
        self.text = text
        self.cancelled = False
        self.n_cached = 0
        self.accepted_at = time.monotonic()
        self.prompt_started_at: float | None = None
        self.first_token_at: float | None = None
        self.last_token_at = 0.0
        self.n_drawn = 0
        self.n_generated = 0

    def begin_prompt(self, n_cached: int) -> None:
        """Note that evaluation starts, with `n_cached` prompt tokens already in the cache."""
        if self.prompt_started_at is None:
            self.prompt_started_at = time.monotonic()
            self.n_cached = n_cached

    def note_drawn(self) -> None:
        """Note the time of a token."""
        self.last_token_at = time.monotonic()
        self.n_drawn += 1
        if self.first_token_at is None:
            self.first_token_at = self.last_token_at

    def add(self, token: int, piece: bytes, logprob: TokenLogprob | None) -> list[TextDelta]:
        """Append a token of the answer and return the text that is certain now."""
        self.tokens.append(token)
        self.n_generated += 1
        return self.text.feed(piece, logprob)

    def end(self, reason: FinishReason, note: str = "") -> list[GenerateEvent]:
        """Give the sampler chain back and return the last events."""
        self.chain.free()
        deltas = self.text.finish()
        stop = self.text.stop_string
        return [*deltas, Finished(reason=reason, usage=self.usage, stop_string=stop, note=note)]

    @property
    def usage(self) -> Usage:
        """Counts and speeds so far; a speed is None where there was nothing to time."""
        started, first = self.prompt_started_at, self.first_token_at
        evaluated = self.n_prompt - self.n_cached
        return Usage(
            prompt_tokens=self.n_prompt,
            cached_tokens=self.n_cached,
            completion_tokens=self.n_generated,
            seconds_to_first_token=None if first is None else first - self.accepted_at,
            prompt_tokens_per_second=_rate(evaluated, started, first),
            tokens_per_second=_rate(self.n_drawn - 1, first, self.last_token_at),
        )


def _rate(count: int, start: float | None, end: float | None) -> float | None:
    if start is None or end is None or count <= 0 or end <= start:
        return None
    return count / (end - start)


def text_stream(request: GenerateRequest, extra_stop: tuple[str, ...], rendered: str | None) -> TextStream:
    """Return the stream for a request; only rendered chats, never raw prompts, are split into thinking."""
    split = None
    if rendered is not None:
        split = ReasoningSplit(inside=rendered.rstrip().endswith("<think>"))
    return TextStream((*request.stop, *extra_stop), split)
