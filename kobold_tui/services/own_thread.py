"""A daemon thread of its own for work that can block: file scans, NVML, SQLite, the clipboard.

Nothing that can hang runs on an event loop or in its default executor. The inbox is bounded, a stuck call
is visible as `waiting_since`, and a daemon thread never delays the end of the program.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

from kobold_tui.domain.errors import KoboldError
from kobold_tui.services.batches import Batches

T = TypeVar("T")


class OwnThread:
    """Runs blocking calls one after another; their results are awaited on the caller's loop."""

    def __init__(self, name: str, inbox: int = 256) -> None:
        self._name = name
        self._inbox: queue.Queue[Callable[[], object] | None] = queue.Queue(inbox)
        self._thread: threading.Thread | None = None
        self._waiting_since: float | None = None

    @property
    def waiting_since(self) -> float | None:
        """Monotonic time since when the running call has not answered; None when idle."""
        return self._waiting_since

    async def call(self, function: Callable[..., T], *args: object) -> T:
        """Run `function(*args)` in the thread; KoboldError when the inbox is full."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            if answer.cancelled():
                return
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001 - every error belongs to the caller
                _tell(loop, _fail, answer, error)
            else:
                _tell(loop, _succeed, answer, result)

        self._submit(work)
        return await answer

    async def stream(
        self, function: Callable[..., Iterable[T]], *args: object, frame_seconds: float = 0.0
    ) -> AsyncIterator[list[T]]:
        """Iterate `function(*args)` in the thread; yields what it produced in batches."""
        batches: Batches[T] = Batches(asyncio.get_running_loop())

        def work() -> None:
            try:
                for item in function(*args):
                    if not batches.put_waiting(item):
                        return
            except BaseException as error:  # noqa: BLE001 - every error belongs to the caller
                batches.close(error)
            else:
                batches.close()

        self._submit(work)
        async for batch in batches.read(frame_seconds):
            yield batch

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Run `function(*args)` in the thread and forget it."""
        self._submit(lambda: function(*args))

    def close(self, timeout: float | None = None) -> bool:
        """End the thread after the calls in its inbox; returns whether it ended within `timeout` seconds."""
        if self._thread is None:
            return True
        try:
            self._inbox.put_nowait(None)
        except queue.Full:
            return False
        if timeout is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _submit(self, work: Callable[[], object]) -> None:
        try:
            self._inbox.put_nowait(work)
        except queue.Full:
            raise KoboldError(
                "Not responding",
                f"{self._name} has not answered for {time.monotonic() - (self._waiting_since or 0):.0f} s.",
                "A disk or driver is stuck; this part of the program stays stale until it answers.",
            ) from None
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (work := self._inbox.get()) is not None:
            self._waiting_since = time.monotonic()
            try:
                work()
            finally:
                self._waiting_since = None


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:  # the caller's loop has ended; nobody waits
        return


def _succeed(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[T], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
