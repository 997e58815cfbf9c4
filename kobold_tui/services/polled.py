"""Something that is read again and again in a thread of its own, with one question outstanding at most."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from kobold_tui.services.own_thread import OwnThread

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Polled(Generic[T]):
    """The newest answer of `read`, and since when the question after it waits.

    `note` gets every answer. A reading that raises counts as not answered; the log has the reason, once.
    """

    def __init__(self, read: Callable[[], T], thread: OwnThread, note: Callable[[T], None]) -> None:
        self._read = read
        self._thread = thread
        self._note = note
        self._task: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._failed = False
        self.last: T | None = None
        self.answered_at: float | None = None

    def ask(self, not_within_seconds: float = 0.0) -> asyncio.Task[None] | None:
        """Ask, unless a question waits; returns the task of the one that does.

        Asks nothing and returns None where the last question is younger than `not_within_seconds`.
        """
        if self._task is None:
            now = time.monotonic()
            if now - self._asked_at < not_within_seconds and not self._failed:
                return None
            self._asked_at = now
            self._task = asyncio.create_task(self._answer())
        return self._task

    def silent_since(self, patience_seconds: float) -> float | None:
        """Return when the question was asked that failed, or has waited for `patience_seconds` or longer."""
        waits = self._task is not None and time.monotonic() - self._asked_at >= patience_seconds
        return self._asked_at if waits or self._failed else None

    async def _answer(self) -> None:
        try:
            answer = await self._thread.call(self._read)
        except Exception:  # noqa: BLE001 - whatever fails, the program lives on with the last figures
            if not self._failed:
                _log.exception("a reading failed")
            self._failed = True
        else:
            self._failed = False
            self.last, self.answered_at = answer, time.monotonic()
            self._note(answer)
        finally:
            self._task = None
