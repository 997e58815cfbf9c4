"""A bounded buffer between a producer on any thread and one reader on an event loop.

The reader gets lists of everything that arrived since it last asked, so a burst costs one wake-up. When
the buffer is full the producer waits: by `wait_for_room` in a thread, by `room` on a loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Batches(Generic[T]):
    """Items from one producer to one reader, in order, in batches."""

    def __init__(self, reader_loop: asyncio.AbstractEventLoop, limit: int = 4096) -> None:
        self._loop = reader_loop
        self._limit = limit
        self._lock = threading.Lock()
        self._has_room = threading.Condition(self._lock)
        self._items: list[T] = []
        self._arrived = asyncio.Event()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Add an item without waiting; returns whether there is room for another one. Any thread."""
        with self._lock:
            wake = not self._items
            self._items.append(item)
            room = len(self._items) < self._limit
        if wake:
            self._wake()
        return room

    def put_waiting(self, item: T) -> bool:
        """Add an item, waiting for room; returns False once the reader has gone. Not on a loop's thread."""
        with self._has_room:
            self._has_room.wait_for(lambda: self._closed or len(self._items) < self._limit)
            if self._closed:
                return False
        self.put(item)
        return True

    def close(self, error: BaseException | None = None) -> None:
        """End the stream after the items that are in it; `error` is raised to the reader. Any thread."""
        with self._has_room:
            if not self._closed:
                self._closed, self._error = True, error
            self._has_room.notify_all()
        self._wake()

    @property
    def closed(self) -> bool:
        """Whether either side has ended the stream."""
        return self._closed

    @property
    def has_room(self) -> bool:
        """Whether the reader keeps up."""
        with self._lock:
            return len(self._items) < self._limit

    async def read(self, frame_seconds: float = 0.0) -> AsyncIterator[list[T]]:
        """Yield batches until the end; `frame_seconds` is the least time between two of them."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                batch, closed = self._take()
                if batch:
                    yield batch
                if closed and not self._items:
                    break
                if frame_seconds:
                    await asyncio.sleep(frame_seconds)
            if self._error is not None:
                raise self._error
        finally:
            self.close()

    def _take(self) -> tuple[list[T], bool]:
        with self._has_room:
            batch, self._items = self._items, []
            self._has_room.notify_all()
            return batch, self._closed

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the reader's loop has ended
            self._closed = True
