"""From the events of an endpoint's stream to ours; whatever is missing or of another type is left out.

Nothing here trusts the server: an answer that has no end is ended, and what it counts is only believed
where it is a count.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.generation import (
    Finished,
    FinishReason,
    GenerateEvent,
    TextDelta,
    TokenLogprob,
    Usage,
)
from kobold_tui.engine.remote import words

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "stop",
    "function_call": "stop",
    "eos": "stop",
    "content_filter": "error",
}
_SLACK = 64
SHORTEST_SECONDS = 0.05
"""Tokens that arrive in less than this came in one piece; how fast they were made is not known."""


class StreamedAnswer:
    """Reads the documents of one stream in order; `finished` sums it up when the stream is over.

    `shown` takes out of an error what must not be shown.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        max_tokens: int,
        *,
        shown: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._shown = shown
        self._most_pieces = 4 * max_tokens + _SLACK
        self._clock = clock
        self._begun = clock()
        self._first: float | None = None
        self._last = self._begun
        self._pieces = 0
        self._reason: FinishReason | None = None
        self._usage: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}
        self._note = ""
        self.is_over = False

    def read(self, data: bytes) -> Iterator[GenerateEvent]:
        """Yield what one document says. Raises EngineError for an error in it, and for no document."""
        if data.strip() == b"[DONE]":
            self.is_over = True
            return
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise words.nonsense(self._endpoint, "an event that is no JSON document") from None
        if not isinstance(document, dict):
            raise words.nonsense(self._endpoint, "an event that is no JSON object")
        if document.get("error"):
            said = self._shown(data.decode("utf-8", "replace"))
            raise words.refused(self._endpoint, _status(document["error"]), said.encode())
        self._note_counts(document)
        choice = _first(document.get("choices"))
        yield from self._deltas(choice)
        self._note_end(choice)

    def finished(self, note: str = "") -> Finished:
        """Return the end of the answer. Raises EngineError where the stream ended too early."""
        if self._reason is None and not self.is_over:
            raise words.broke_off(self._endpoint, "the server closed the connection")
        notes = " ".join(filter(None, (self._note, note)))
        return Finished(reason=self._reason or "stop", usage=self._counted(), note=notes)

    def _deltas(self, choice: dict[str, Any]) -> Iterator[TextDelta]:
        delta = choice.get("delta")
        source = delta if isinstance(delta, dict) else choice
        logprobs = _logprobs(choice.get("logprobs"))
        thought = source.get("reasoning_content") or source.get("reasoning")
        if isinstance(thought, str) and thought:
            yield self._delta(thought, reasoning=True, logprobs=())
        text = source.get("content") if source is delta else choice.get("text")
        if isinstance(text, str) and text:
            yield self._delta(text, reasoning=False, logprobs=logprobs)

    def _delta(self, text: str, *, reasoning: bool, logprobs: tuple[TokenLogprob, ...]) -> TextDelta:
        self._last = self._clock()
        self._first = self._first or self._last
        self._pieces += 1
        if self._pieces >= self._most_pieces:
            self._reason, self.is_over = "length", True
            self._note = f"{self._endpoint.host} did not stop at the length asked for, and was cut off."
        return TextDelta(text=_valid(text), n_tokens=1, reasoning=reasoning, logprobs=logprobs)

    def _note_end(self, choice: dict[str, Any]) -> None:
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._reason = _REASONS.get(reason, "stop")
            if self._reason == "error":
                self._note = f"{self._endpoint.host} held the answer back ({reason})."

    def _note_counts(self, document: dict[str, Any]) -> None:
        for key, store in (("usage", self._usage), ("timings", self._timings)):
            if isinstance(document.get(key), dict):
                store.update(document[key])

    def _counted(self) -> Usage:
        details = self._usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else self._timings.get("cache_n")
        tokens = max(_count(self._usage.get("completion_tokens")) or 0, self._pieces)
        return Usage(
            prompt_tokens=_count(self._usage.get("prompt_tokens")) or 0,
            cached_tokens=_count(cached) or 0,
            completion_tokens=tokens,
            seconds_to_first_token=None if self._first is None else self._first - self._begun,
            prompt_tokens_per_second=_speed(self._timings.get("prompt_per_second")),
            tokens_per_second=_speed(self._timings.get("predicted_per_second")) or self._measured(tokens),
        )

    def _measured(self, tokens: int) -> float | None:
        seconds = self._last - (self._first or self._last)
        return (tokens - 1) / seconds if seconds >= SHORTEST_SECONDS and tokens > 1 else None


def _first(choices: object) -> dict[str, Any]:
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return {}


def _status(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 else 500


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None


def _speed(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None


def _valid(text: str) -> str:
    """Return text that can be encoded: JSON may hold halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def _logprobs(value: object) -> tuple[TokenLogprob, ...]:
    """Return the tokens of a piece in OpenAI's chat form; token ids are not told, and are -1."""
    rows = value.get("content") if isinstance(value, dict) else None
    found = (_logprob(row) for row in rows) if isinstance(rows, list) else ()
    return tuple(row for row in found if row is not None)


def _logprob(row: object) -> TokenLogprob | None:
    if not isinstance(row, dict):
        return None
    text, logprob, others = row.get("token"), row.get("logprob"), row.get("top_logprobs")
    if not isinstance(text, str) or not isinstance(logprob, int | float):
        return None
    known = (_logprob(other) for other in others) if isinstance(others, list) else ()
    alternatives = tuple((-1, other.text, other.logprob) for other in known if other is not None)
    return TokenLogprob(token=-1, text=_valid(text), logprob=float(logprob), alternatives=alternatives)
