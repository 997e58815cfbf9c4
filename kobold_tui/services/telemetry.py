"""Samples the hardware in a thread of its own and says when the driver does not answer.

A slow call never piles up: the next sample is asked for only after the last one has answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from kobold_tui.domain.gpu import Telemetry
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread

STALE_AFTER_SECONDS = 3.0


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The newest sample and, where the hardware has stopped answering, since when (monotonic seconds)."""

    telemetry: Telemetry | None
    stale_since: float | None = None


class TelemetryService(LoopBound):
    """Reads all hardware at an interval for as long as somebody watches."""

    def __init__(
        self, read: Callable[[], Telemetry], thread: OwnThread, interval_seconds: float = 1.0
    ) -> None:
        super().__init__()
        self._read = read
        self._thread = thread
        self.interval_seconds = interval_seconds
        self._last: Telemetry | None = None
        self._pending: asyncio.Task[Telemetry] | None = None
        self._asked_at = 0.0

    async def sample(self) -> Telemetry:
        """Take one sample now."""
        self.check_loop()
        self._last = await self._thread.call(self._read)
        return self._last

    async def watch(self) -> AsyncIterator[Reading]:
        """Yield a reading at every interval, and one marked stale while the hardware does not answer."""
        self.check_loop()
        while True:
            yield await self._next()
            await asyncio.sleep(self.interval_seconds)

    async def _next(self) -> Reading:
        if self._pending is None:
            self._asked_at = time.monotonic()
            self._pending = asyncio.create_task(self.sample())
        await asyncio.wait([self._pending], timeout=max(STALE_AFTER_SECONDS, self.interval_seconds))
        if not self._pending.done():
            return Reading(telemetry=self._last, stale_since=self._asked_at)
        pending, self._pending = self._pending, None
        return Reading(telemetry=await pending)
