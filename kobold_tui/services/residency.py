"""Who may stay in memory: models that nobody asks are parked after a while, and come back when asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from kobold_tui.domain.instance import Instance
from kobold_tui.services.loading import LoadingService, is_ready
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.used_engine import Clock

LOOK_EVERY_SECONDS = 5.0


class ResidencyService(LoopBound):
    """Looks at the instances every few seconds; `idle_seconds` 0 never parks one that does not say itself."""

    def __init__(
        self,
        loading: LoadingService,
        idle_seconds: float = 0.0,
        *,
        clock: Clock = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._loading = loading
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sleep = sleep
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self.check_loop()
        self._watching = self._watching or asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})

    async def park_idle(self) -> None:
        """Park every instance that was not asked anything for longer than it may."""
        self.check_loop()
        for instance in self.evictable():
            limit = instance.spec.idle_unload_seconds
            limit = self._idle_seconds if limit is None else limit
            if limit and self._idle(instance) >= limit:
                await self._loading.park(instance.id)

    def evictable(self) -> tuple[Instance, ...]:
        """Return the instances that could make room, the one that was not used for longest first."""
        idle = [
            one
            for one in self._loading.instances()
            if is_ready(one.state) and not one.active and not one.is_pinned and one.spec.endpoint is None
        ]
        return tuple(sorted(idle, key=lambda one: one.last_used or 0.0))

    def _idle(self, instance: Instance) -> float:
        return self._clock() - max(instance.last_used or 0.0, instance.loaded_at or 0.0)

    async def _watch(self) -> None:
        while True:
            await self._sleep(LOOK_EVERY_SECONDS)
            await self.park_idle()
