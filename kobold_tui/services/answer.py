"""An answer while it grows: text, counts and times, from the events of an engine."""

from __future__ import annotations

import time

import msgspec

from kobold_tui.domain.chat import ChatMessage
from kobold_tui.domain.generation import Finished, GenerateEvent, PromptProgress, TextDelta, Usage


class Answer:
    """Collects events into a message that can be stored at any moment."""

    def __init__(self, message: ChatMessage) -> None:
        self._message = message
        self._text: list[str] = [message.text]
        self._reasoning: list[str] = [message.reasoning]
        self._n_tokens = 0
        self._started_at = time.monotonic()
        self._first_at: float | None = None
        self._last_at: float | None = None
        self.finished = False
        self.stored_at = self._started_at

    @property
    def message(self) -> ChatMessage:
        """The message as it is now."""
        return msgspec.structs.replace(
            self._message, text="".join(self._text), reasoning="".join(self._reasoning)
        )

    @property
    def usage(self) -> Usage:
        """What can be told from this side of the wire, for an answer that was cut off."""
        seconds = (self._last_at or 0.0) - (self._first_at or 0.0)
        return Usage(
            completion_tokens=self._n_tokens,
            seconds_to_first_token=self._first_at - self._started_at if self._first_at is not None else None,
            tokens_per_second=(self._n_tokens - 1) / seconds if seconds > 0 else None,
        )

    def take(self, event: GenerateEvent) -> None:
        """Add one event."""
        match event:
            case TextDelta():
                self._grow(event)
            case Finished():
                self._finish(event)
            case PromptProgress():
                pass

    def cancel(self) -> Finished:
        """End the answer because somebody asked for it."""
        event = Finished(reason="cancelled", usage=self.usage)
        self._finish(event)
        return event

    def fail(self) -> None:
        """End the answer because the model died or refused."""
        self._finish(Finished(reason="error", usage=self.usage))

    def _grow(self, delta: TextDelta) -> None:
        self._last_at = time.monotonic()
        self._first_at = self._first_at or self._last_at
        self._n_tokens += delta.n_tokens
        (self._reasoning if delta.reasoning else self._text).append(delta.text)

    def _finish(self, event: Finished) -> None:
        self.finished = True
        cut = event.reason in {"cancelled", "error"}
        self._message = msgspec.structs.replace(
            self._message,
            status="interrupted" if cut else "complete",
            finish_reason=event.reason,
            usage=event.usage,
        )
