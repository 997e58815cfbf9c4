"""The gauge's numbers, and what is said while the hardware does not answer."""

from __future__ import annotations

import threading

import pytest

from kobold_tui.domain.gpu import HostSnapshot, Telemetry
from kobold_tui.services import telemetry as module
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.telemetry import TelemetryService


def sample(number: float) -> Telemetry:
    return Telemetry(taken_at=number, host=HostSnapshot(memory_total_bytes=10, memory_available_bytes=4))


async def test_every_watcher_gets_samples() -> None:
    numbers = iter(range(100))
    service = TelemetryService(lambda: sample(next(numbers)), OwnThread("hardware"), interval_seconds=0.0)
    readings = service.watch()
    taken = [(await anext(readings)).telemetry for _ in range(3)]
    assert [reading.taken_at for reading in taken if reading] == [0, 1, 2]


async def test_hardware_that_hangs_shows_as_stale_and_is_not_asked_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALE_AFTER_SECONDS", 0.0)
    release, calls = threading.Event(), []

    def read() -> Telemetry:
        calls.append(1)
        if len(calls) > 1:
            release.wait()
        return sample(len(calls))

    service = TelemetryService(read, OwnThread("hardware"), interval_seconds=0.0)
    first = await service.sample()
    readings = service.watch()
    stale = [await anext(readings) for _ in range(3)]
    assert all(reading.stale_since is not None for reading in stale)
    assert stale[-1].telemetry == first
    assert len(calls) <= 2
    release.set()
    async for reading in readings:
        if reading.stale_since is None:
            break
    assert reading.telemetry == sample(2)
