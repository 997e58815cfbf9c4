"""Who waits for replies: a call with one answer, and a stream of generated text."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import Finished, GenerateEvent, PromptProgress, TextDelta, TokenLogprob
from kobold_tui.engine import wire
from kobold_tui.engine.endings import engine_error

R = TypeVar("R", bound=wire.Reply)
OnProgress = Callable[[wire.Progress], None]


class Call(Generic[R]):
    """A request with one answer of a known type, and perhaps `Progress` before it."""

    def __init__(self, expected: type[R], on_progress: OnProgress | None = None) -> None:
        self._expected = expected
        self._on_progress = on_progress
        self.answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def receive(self, reply: wire.Reply) -> bool:
        """Take a reply; true when it was the answer."""
        if isinstance(reply, wire.Progress) and self._on_progress is not None:
            self._on_progress(reply)
            return False
        if self.answer.done():
            return True
        if isinstance(reply, self._expected):
            self.answer.set_result(reply)
        elif isinstance(reply, wire.Refused):
            self.answer.set_exception(engine_error(reply.failure))
        else:
            raise wire.FrameError(f"{type(reply).__name__} instead of {self._expected.__name__}")
        return True

    def fail(self, error: Exception) -> None:
        """There will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(_copy(error))


class _Run:
    """Text deltas of one kind that nobody took yet; joined once, however many there are."""

    def __init__(self, first: TextDelta) -> None:
        self.reasoning = first.reasoning
        self._texts: list[str] = []
        self._n_tokens = 0
        self._logprobs: list[TokenLogprob] = []
        self.add(first)

    def add(self, delta: TextDelta) -> None:
        self._texts.append(delta.text)
        self._n_tokens += delta.n_tokens
        self._logprobs.extend(delta.logprobs)

    def joined(self) -> TextDelta:
        return TextDelta(
            text="".join(self._texts),
            n_tokens=self._n_tokens,
            reasoning=self.reasoning,
            logprobs=tuple(self._logprobs),
        )


class Answer:
    """Events of one generation, in order, ending with exactly one `Finished` or an error.

    A reader that lags gets text deltas merged and stale progress left out: nothing is lost, the queue holds
    no more than a few entries, and the wire is never held up for it. For one reader.
    """

    def __init__(self) -> None:
        self._queue: deque[_Run | PromptProgress | Finished | Exception] = deque()
        self._arrived = asyncio.Event()
        self.ended = False

    def receive(self, reply: wire.Reply) -> bool:
        """Take a reply; true when it was the last one."""
        if isinstance(reply, wire.Refused):
            self._close_with(engine_error(reply.failure))
        elif isinstance(reply, wire.Event):
            self.put(reply.event)
        else:
            raise wire.FrameError(f"{type(reply).__name__} instead of an event")
        return self.ended

    def fail(self, error: Exception) -> None:
        """There will be no more events; those that came are still read first."""
        if not self.ended:
            self._close_with(_copy(error))

    def put(self, event: GenerateEvent) -> None:
        """Append an event."""
        last = self._queue[-1] if self._queue else None
        match event:
            case TextDelta() if isinstance(last, _Run) and last.reasoning == event.reasoning:
                last.add(event)
            case TextDelta():
                self._queue.append(_Run(event))
            case PromptProgress() if isinstance(last, PromptProgress):
                self._queue[-1] = event
            case PromptProgress():
                self._queue.append(event)
            case Finished():
                self._queue.append(event)
                self.ended = True
        self._arrived.set()

    async def next(self) -> GenerateEvent:
        """Return the next event, waiting for it. Raises EngineError where the answer broke off."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._queue.popleft()
        if isinstance(item, Exception):
            raise item
        return item.joined() if isinstance(item, _Run) else item

    def _close_with(self, error: Exception) -> None:
        self._queue.append(error)
        self.ended = True
        self._arrived.set()


def _copy(error: Exception) -> Exception:
    """Return an exception for one waiter alone, because raising one writes into it."""
    return engine_error(error.failure) if isinstance(error, KoboldError) else error
