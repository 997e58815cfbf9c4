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
from kobold_tui.engine.worker.lookup import PromptLookup
from kobold_tui.engine.worker.reasoning import ReasoningSplit, opened_by
from kobold_tui.engine.worker.sampling import SamplerChain
from kobold_tui.engine.worker.text_stream import TextStream


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
        self.lookup: PromptLookup | None = None
        self.notes: list[str] = []
        self.n_keep: int | None = None
        self._n_dropped = 0
        self._n_ctx = 0
        self._n_thought = 0
        self._closed_thinking = False

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
        deltas = self.text.feed(piece, logprob)
        self._n_thought += self.text.thinking
        return deltas

    def take_closing(self) -> str:
        """Return, once, what ends the thinking when its budget is used up; else nothing."""
        budget = self.request.reasoning_budget
        if budget is None or self._closed_thinking or not self.text.thinking or self._n_thought < budget:
            return ""
        if has_grammar(self.request) or self.text.stop_string:
            return ""
        self._closed_thinking = True
        return self.text.closing

    @property
    def done(self) -> FinishReason | None:
        """Why the answer goes no further, None while it does."""
        if self.text.stop_string:
            return "stop"
        return "length" if self.n_generated >= self.request.max_tokens else None

    def note_dropped(self, n_tokens: int, n_keep: int, n_ctx: int) -> None:
        """Note that the window of `n_ctx` tokens was full and lost some behind its first `n_keep`."""
        self.n_keep, self._n_ctx = n_keep, n_ctx
        self._n_dropped += n_tokens
        if self.lookup is not None:
            self.lookup.forget()

    def _shift_note(self) -> str:
        if not self._n_dropped:
            return ""
        return (
            f"The context of {self._n_ctx:,} tokens was full: the first {self.n_keep:,} tokens were kept and"
            f" {self._n_dropped:,} older ones were dropped; a larger context keeps more."
        )

    def end(self, reason: FinishReason, note: str = "") -> list[GenerateEvent]:
        """Give the sampler chain back and return the last events."""
        self.chain.free()
        deltas = self.text.finish()
        stop, notes = self.text.stop_string, " ".join(filter(None, (self._shift_note(), *self.notes, note)))
        return [*deltas, Finished(reason=reason, usage=self.usage, stop_string=stop, note=notes)]

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


def has_grammar(request: GenerateRequest) -> bool:
    """Whether a grammar decides what can be written."""
    return bool(request.sampling.grammar.strip() or request.sampling.json_schema.strip())


def text_stream(request: GenerateRequest, extra_stop: tuple[str, ...], rendered: str | None) -> TextStream:
    """Return the stream for a request; only rendered chats, never raw prompts, are split into thinking.

    What a grammar rules is the answer, even where the prompt has opened the thinking.
    """
    split = None
    if rendered is not None:
        split = ReasoningSplit(inside=None if has_grammar(request) else opened_by(rendered))
    return TextStream((*request.stop, *extra_stop), split)
