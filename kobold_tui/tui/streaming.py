"""From the events of a reply to the transcript: text is merged, so a batch costs one update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kobold_tui.domain.chat import ChatMessage
from kobold_tui.domain.generation import Finished, PromptProgress, TextDelta, Usage
from kobold_tui.domain.units import format_rate, format_seconds
from kobold_tui.services.chat import ReplyEvent, Stored
from kobold_tui.tui.widgets.transcript import TranscriptItem

REASONS = {"length": "length limit", "cancelled": "stopped", "error": "cut off"}


class ReplyTarget(Protocol):
    """What a reply is written to: the transcript, or a list in a test."""

    def append(self, item: TranscriptItem) -> None:
        """Add a message at the end."""
        ...

    def replace(self, item: TranscriptItem) -> None:
        """Put a message in the place of the one with the same key."""
        ...

    def stream(self, key: int, text: str, reasoning: str = "") -> None:
        """Add text to an open message."""
        ...


class ReplyStream:
    """Writes one reply into a transcript, batch by batch; `progress` says what goes on before the text."""

    def __init__(self, target: ReplyTarget) -> None:
        self._target = target
        self._answer: ChatMessage | None = None
        self.progress = ""
        self.head: ChatMessage | None = None

    def take(self, batch: Sequence[ReplyEvent]) -> None:
        """Show one batch of events."""
        text: list[str] = []
        reasoning: list[str] = []
        for event in batch:
            match event:
                case TextDelta():
                    (reasoning if event.reasoning else text).append(event.text)
                case Stored():
                    self._flush(text, reasoning)
                    self._stored(event.message)
                case PromptProgress():
                    self.progress = f"reading the prompt, {event.done:,} of {event.total:,} tokens"
                case Finished():
                    self.progress = ""
        self._flush(text, reasoning)

    def _stored(self, message: ChatMessage) -> None:
        self.head = message
        if self._answer is not None and message.id == self._answer.id:
            self._target.replace(item_of(message))
            return
        if message.role == "assistant":
            self._answer = message
        self._target.append(item_of(message))

    def _flush(self, text: list[str], reasoning: list[str]) -> None:
        if self._answer is not None and (text or reasoning):
            self.progress = ""
            self._target.stream(self._answer.id, "".join(text), "".join(reasoning))
        text.clear()
        reasoning.clear()


def item_of(message: ChatMessage) -> TranscriptItem:
    """Return a stored message as the transcript shows it."""
    return TranscriptItem(
        key=message.id,
        role=message.role,
        label=message.model,
        text=message.text,
        reasoning=message.reasoning,
        status=message.status,
        footer=footer(message.usage, message.finish_reason) if message.role == "assistant" else "",
    )


def footer(usage: Usage | None, reason: str | None) -> str:
    """Return the quiet line under an answer: speed, tokens, time to the first one, why it ended."""
    if usage is None:
        return ""
    parts = [
        format_rate(usage.tokens_per_second) if usage.tokens_per_second else "",
        f"{usage.completion_tokens} tokens" if usage.completion_tokens else "",
        f"{format_seconds(usage.seconds_to_first_token)} to first" if usage.seconds_to_first_token else "",
        REASONS.get(reason or "", ""),
    ]
    return " · ".join(part for part in parts if part)
