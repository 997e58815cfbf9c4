"""Talking to an endpoint in tests."""

from __future__ import annotations

from kobold_tui.domain.generation import Finished, GenerateEvent, GenerateRequest, Message, TextDelta
from kobold_tui.engine.protocol import Engine

KEY = "sk-very-secret-0123456789"
ASK = GenerateRequest(messages=(Message(role="user", content="Hello"),), max_tokens=64)


class Waits:
    """Takes the place of sleeping: notes for how long, and goes on at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def read(engine: Engine, request: GenerateRequest = ASK) -> tuple[str, str, Finished]:
    """Return the text, the thinking and the end of an answer."""
    events: list[GenerateEvent] = [event async for event in engine.generate(request)]
    deltas = [event for event in events if isinstance(event, TextDelta)]
    last = events[-1]
    assert isinstance(last, Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1
    text = "".join(delta.text for delta in deltas if not delta.reasoning)
    return text, "".join(delta.text for delta in deltas if delta.reasoning), last
