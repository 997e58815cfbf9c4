"""Samples the hardware in threads of their own and says when the driver does not answer.

Cards and host are read apart: a driver that hangs never delays the figures of the machine. A slow call never
piles up: the next question is asked only after the last one was answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import GpuPoint, GpuReading, GpuSnapshot, HostPoint, Telemetry
from kobold_tui.services.gpu_history import GpuHistory
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.polled import Polled

STALE_AFTER_SECONDS = 3.0
PATIENCE_SECONDS = 20.0
"""How long one sample waits: a driver that nothing keeps awake takes seconds a card to wake up."""

HIDDEN_SECONDS = 10.0
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 60.0
SILENT = "The driver does not answer."
NOT_YET = "The GPU driver has not answered yet."


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The newest sample and, where the host itself has stopped answering, since when (monotonic seconds).

    Cards that do not answer are marked one by one: `GpuSnapshot.stale_since`.
    """

    telemetry: Telemetry | None
    stale_since: float | None = None


class GpuSource(NamedTuple):
    """What reads the cards, and the thread that it may hang."""

    read: Callable[[], GpuReading]
    thread: OwnThread


class TelemetryService(LoopBound):
    """Reads all hardware at an interval for as long as somebody watches.

    `read` gives the host, and also the cards where there is no `gpus` that reads them apart.
    """

    def __init__(
        self,
        read: Callable[[], Telemetry],
        thread: OwnThread,
        interval_seconds: float = 1.0,
        gpus: GpuSource | None = None,
    ) -> None:
        super().__init__()
        self._history = GpuHistory()
        self._host = Polled(read, thread, self._note_host)
        self._gpus = Polled(gpus.read, gpus.thread, self._note_gpus) if gpus else None
        self._interval_seconds = interval_seconds
        self._is_hidden = False
        self._changed = asyncio.Event()

    @property
    def interval_seconds(self) -> float:
        """Time between two readings while the gauge is looked at."""
        return self._interval_seconds

    async def set_interval(self, seconds: float) -> float:
        """Change the interval from now on; returns it, kept between 0.1 and 60 seconds."""
        self.check_loop()
        self._interval_seconds = min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
        self._wake()
        return self._interval_seconds

    async def set_hidden(self, hidden: bool) -> None:
        """Say whether nobody sees the gauge; it is then read every ten seconds, for its history."""
        self.check_loop()
        self._is_hidden = hidden
        self._wake()

    async def history(self, key: str) -> tuple[GpuPoint, ...]:
        """Return the last ten minutes of a card (`GpuSnapshot.key`), the oldest first."""
        self.check_loop()
        return self._history.of_gpu(key)

    async def host_history(self) -> tuple[HostPoint, ...]:
        """Return the last ten minutes of the machine, the oldest first."""
        self.check_loop()
        return self._history.of_host()

    async def sample(self, patience_seconds: float = PATIENCE_SECONDS) -> Telemetry:
        """Take one sample now; cards that do not answer in time are missing from it, with a notice.

        Raises KoboldError where the host itself cannot be read.
        """
        self.check_loop()
        await _wait(patience_seconds, self._host.ask(), self._gpus.ask() if self._gpus else None)
        telemetry = self._merged(0.0)
        if telemetry is None:
            raise KoboldError("Not responding", "The machine's memory could not be read.", "See the log.")
        return telemetry

    async def watch(self) -> AsyncIterator[Reading]:
        """Yield a reading at every interval, marked as stale where the hardware does not answer."""
        self.check_loop()
        while True:
            started = time.monotonic()
            yield await self._next()
            await self._rest(started)

    async def _next(self) -> Reading:
        spacing = self._seconds / 2  # watchers share samples
        gpus = self._gpus.ask(spacing) if self._gpus else None
        await _wait(STALE_AFTER_SECONDS, self._host.ask(spacing))
        await _wait(min(self._seconds, STALE_AFTER_SECONDS), gpus)
        return Reading(
            telemetry=self._merged(STALE_AFTER_SECONDS),
            stale_since=self._host.silent_since(STALE_AFTER_SECONDS),
        )

    async def _rest(self, started: float) -> None:
        await asyncio.sleep(0)
        while (left := started + self._seconds - time.monotonic()) > 0:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                return

    @property
    def _seconds(self) -> float:
        return max(self._interval_seconds, HIDDEN_SECONDS) if self._is_hidden else self._interval_seconds

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _merged(self, patience_seconds: float) -> Telemetry | None:
        """Return the newest figures of both; cards that have been asked for too long are stale."""
        telemetry = self._host.last
        if telemetry is None or self._gpus is None:
            return telemetry
        reading, answered_at = self._gpus.last, self._gpus.answered_at
        if reading is None or answered_at is None:
            return msgspec.structs.replace(telemetry, notice=NOT_YET)
        is_silent = self._gpus.silent_since(patience_seconds) is not None
        return msgspec.structs.replace(
            telemetry,
            gpus=tuple(_stale(gpu, answered_at) for gpu in reading.gpus) if is_silent else reading.gpus,
            driver=reading.driver,
            cuda_version=reading.cuda_version,
            notice=reading.notice,
        )

    def _note_host(self, telemetry: Telemetry) -> None:
        now = time.monotonic()
        self._history.note_host(now, telemetry.host)
        if self._gpus is None:
            self._history.note_gpus(now, telemetry.gpus)

    def _note_gpus(self, reading: GpuReading) -> None:
        self._history.note_gpus(time.monotonic(), reading.gpus)


def _stale(gpu: GpuSnapshot, since: float) -> GpuSnapshot:
    if gpu.stale_since is not None:
        return gpu
    return msgspec.structs.replace(gpu, stale_since=since, fault=SILENT)


async def _wait(seconds: float, *tasks: asyncio.Task[None] | None) -> None:
    waiting = [task for task in tasks if task is not None]
    if waiting:
        await asyncio.wait(waiting, timeout=seconds)
