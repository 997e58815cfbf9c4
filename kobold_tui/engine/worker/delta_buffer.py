"""Joins the tokens of a few milliseconds into one frame, so that a fast model does not flood the wire.

The first token after a pause goes out at once; what follows within `FLUSH_SECONDS` goes together.
"""

from __future__ import annotations

from collections.abc import Callable

from kobold_tui.domain.generation import GenerateEvent, TextDelta

FLUSH_SECONDS = 0.016
EmitEvent = Callable[[int, GenerateEvent], None]


class DeltaBuffer:
    """Text of each request that has not been sent yet; any other event of a request sends it first."""

    def __init__(self, emit: EmitEvent) -> None:
        self._emit = emit
        self._pending: dict[int, TextDelta] = {}
        self._sent_at: dict[int, float] = {}

    def add(self, request_id: int, event: GenerateEvent, now: float) -> None:
        """Take an event at the monotonic time `now` and send what is due."""
        if not isinstance(event, TextDelta):
            self._send(request_id, now)
            self._emit(request_id, event)
            return
        pending = self._pending.get(request_id)
        if pending is not None and pending.reasoning != event.reasoning:
            self._send(request_id, now)
            pending = None
        self._pending[request_id] = event if pending is None else _join(pending, event)
        self.flush(now)

    def flush(self, now: float) -> None:
        """Send text of requests that sent nothing for `FLUSH_SECONDS`."""
        for request_id in list(self._pending):
            if now - self._sent_at.get(request_id, float("-inf")) >= FLUSH_SECONDS:
                self._send(request_id, now)

    def forget(self, request_id: int) -> None:
        """Drop what is known of a request that has ended."""
        self._pending.pop(request_id, None)
        self._sent_at.pop(request_id, None)

    def _send(self, request_id: int, now: float) -> None:
        delta = self._pending.pop(request_id, None)
        if delta is not None:
            self._sent_at[request_id] = now
            self._emit(request_id, delta)


def _join(first: TextDelta, second: TextDelta) -> TextDelta:
    return TextDelta(
        text=first.text + second.text,
        n_tokens=first.n_tokens + second.n_tokens,
        reasoning=first.reasoning,
        logprobs=first.logprobs + second.logprobs,
    )
