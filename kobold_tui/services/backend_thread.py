"""The background worker thread that runs the backend, and the one bridge to it.

The thread owns an event loop with all services; the user interface's loop does rendering and input and
nothing else. Calls cross by `call`, streams by `stream` in batches of everything that has arrived since the
last one. Cancelling either on the caller's side cancels the work in the backend.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from kobold_tui.services.batches import Batches

S = TypeVar("S")
T = TypeVar("T")

FRAME_SECONDS = 1 / 30


class BackendThread(Generic[S]):
    """Opens services of type S on a loop in a daemon thread and lets other loops use them."""

    def __init__(self, open_services: Callable[[], AbstractAsyncContextManager[S]]) -> None:
        self._open_services = open_services
        self._thread = threading.Thread(target=self._run, name="backend", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._services: asyncio.Future[S] | None = None
        self._closing: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._finishing: set[asyncio.Task[Any]] = set()
        self._ended: Future[None] = Future()

    def start(self) -> None:
        """Start the thread; services open in the background and calls wait for them."""
        self._thread.start()
        self._started.wait()

    async def call(self, use: Callable[[S], Awaitable[T]], *, finish: bool = False) -> T:
        """Await `use(services)` on the backend's loop and return its result to this one.

        With `finish` the work goes on when the caller is cancelled, and closing waits for it: nothing that
        a person has entered is lost because the program ends at that moment.
        """

        async def run() -> T:
            with self._tracked(self._finishing if finish else self._tasks):
                return await use(await self._ready())

        work = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._backend_loop))
        return await (asyncio.shield(work) if finish else work)

    async def stream(
        self, use: Callable[[S], AsyncIterator[T]], frame_seconds: float = FRAME_SECONDS
    ) -> AsyncIterator[list[T]]:
        """Iterate `use(services)` on the backend's loop; yields batches, `frame_seconds` apart at least."""
        batches: Batches[T] = Batches(asyncio.get_running_loop())
        producer = asyncio.run_coroutine_threadsafe(self._produce(use, batches), self._backend_loop)
        try:
            async for batch in batches.read(frame_seconds):
                yield batch
        finally:
            producer.cancel()

    async def close(self, within_seconds: float = 10.0) -> bool:
        """Close the services and end the thread; returns whether it ended in time."""
        self._ask_to_close()
        done, _ = await asyncio.wait([asyncio.wrap_future(self._ended)], timeout=within_seconds)
        return bool(done)

    def close_waiting(self, within_seconds: float = 10.0) -> bool:
        """Like `close`, for callers without a loop."""
        self._ask_to_close()
        self._thread.join(within_seconds)
        return not self._thread.is_alive()

    def _ask_to_close(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended on its own
            self._backend_loop.call_soon_threadsafe(self._close)

    @property
    def _backend_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the backend thread has not been started")
        return self._loop

    async def _ready(self) -> S:
        assert self._services is not None  # noqa: S101 - set before the loop runs anything
        return await asyncio.shield(self._services)

    async def _produce(self, use: Callable[[S], AsyncIterator[T]], batches: Batches[T]) -> None:
        try:
            with self._tracked(self._tasks):
                await _pump(use(await self._ready()), batches)
        except Exception as error:  # noqa: BLE001 - every error belongs to the reader
            batches.close(error)
        finally:
            batches.close()

    @contextlib.contextmanager
    def _tracked(self, tasks: set[asyncio.Task[Any]]) -> Iterator[None]:
        """Remember the running task, so that closing can end it before the services that it uses."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only called from a task
        tasks.add(task)
        try:
            yield
        finally:
            tasks.discard(task)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._finishing, return_exceptions=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._services = self._loop.create_future()
        self._closing = asyncio.Event()
        self._started.set()
        try:
            async with self._open_services() as services:
                self._services.set_result(services)
                await self._closing.wait()
                await self._end_tasks()
        except Exception as error:
            if self._services.done():
                raise
            self._services.set_exception(error)
            await self._closing.wait()

    def _close(self) -> None:
        assert self._closing is not None  # noqa: S101 - set before the loop runs anything
        self._closing.set()


async def _room(batches: Batches[T]) -> None:
    while not (batches.closed or batches.has_room):  # noqa: ASYNC110 - the reader lives on another loop
        await asyncio.sleep(FRAME_SECONDS)


async def _pump(source: AsyncIterator[T], batches: Batches[T]) -> None:
    try:
        async for item in source:
            if not batches.put(item):
                await _room(batches)
            if batches.closed:
                return
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
