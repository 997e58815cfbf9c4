"""The gauge's numbers, and what is said while the hardware does not answer."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable

import pytest

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import GpuReading, GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.services import telemetry as module
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.telemetry import NOT_YET, SILENT, GpuSource, Reading, TelemetryService

HOST = HostSnapshot(memory_total_bytes=10, memory_available_bytes=4, cpu_percent=3.0)


def sample(number: float) -> Telemetry:
    return Telemetry(taken_at=number, host=HOST)


def card(number: int = 0, *, stale_since: float | None = None) -> GpuSnapshot:
    return GpuSnapshot(
        index=number, uuid=f"GPU-{number}", name="Card", memory_used_bytes=5, stale_since=stale_since
    )


class Driver:
    """Cards that answer until they are held, and then hang until they are released."""

    def __init__(self, *cards: GpuSnapshot) -> None:
        self.cards = cards or (card(),)
        self.calls = 0
        self.free = threading.Event()
        self.free.set()

    def read(self) -> GpuReading:
        self.calls += 1
        self.free.wait()
        return GpuReading(taken_at=0.0, gpus=self.cards, driver="580", cuda_version="13.0")


def service(driver: Driver, read: Callable[[], Telemetry] | None = None) -> TelemetryService:
    numbers = itertools.count()
    return TelemetryService(
        read or (lambda: sample(next(numbers))),
        OwnThread("host"),
        0.0,
        GpuSource(driver.read, OwnThread("cards")),
    )


async def until(service: TelemetryService, is_true: Callable[[Reading], bool]) -> Reading:
    readings = service.watch()
    async with asyncio.timeout(20):
        async for reading in readings:
            if is_true(reading):
                return reading
    raise AssertionError


async def test_every_watcher_gets_samples() -> None:
    numbers = iter(range(100))
    service = TelemetryService(lambda: sample(next(numbers)), OwnThread("hardware"), interval_seconds=0.0)
    readings = service.watch()
    taken = [(await anext(readings)).telemetry for _ in range(3)]
    assert [reading.taken_at for reading in taken if reading] == [0, 1, 2]


async def test_cards_and_host_come_as_one_sample() -> None:
    telemetry = await service(Driver(card(0), card(1))).sample()
    assert [gpu.index for gpu in telemetry.gpus] == [0, 1]
    assert (telemetry.host, telemetry.driver, telemetry.cuda_version) == (HOST, "580", "13.0")


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


async def test_cards_that_hang_are_stale_while_the_host_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALE_AFTER_SECONDS", 0.01)
    driver = Driver(card(0), card(1, stale_since=7.0))
    hanging = service(driver)
    first = await hanging.sample()
    driver.free.clear()
    reading = await until(
        hanging, lambda reading: bool(reading.telemetry and reading.telemetry.gpus[0].stale_since)
    )
    assert reading.stale_since is None
    assert reading.telemetry
    assert [gpu.fault for gpu in reading.telemetry.gpus] == [SILENT, None]
    assert reading.telemetry.gpus[1].stale_since == 7.0
    assert reading.telemetry.gpus[0].memory_used_bytes == 5
    later = await until(hanging, lambda next_: bool(next_.telemetry and next_.telemetry.taken_at > 20))
    assert later.telemetry
    assert later.telemetry.taken_at > first.taken_at
    assert driver.calls == 2
    driver.free.set()
    back = await until(
        hanging, lambda reading: bool(reading.telemetry and reading.telemetry.gpus[0].fault is None)
    )
    assert back.telemetry
    assert back.telemetry.gpus == driver.cards


async def test_cards_that_never_answered_are_missing_and_that_is_said() -> None:
    driver = Driver()
    driver.free.clear()
    telemetry = await service(driver).sample(patience_seconds=0.01)
    assert (telemetry.gpus, telemetry.notice, telemetry.host) == ((), NOT_YET, HOST)
    driver.free.set()


async def test_a_reading_that_fails_costs_its_own_part_and_heals(caplog: pytest.LogCaptureFixture) -> None:
    broken = [True]

    def read() -> Telemetry:
        if broken:
            raise ValueError("no such file")
        return sample(1)

    failing = service(Driver(), read)
    with caplog.at_level(logging.CRITICAL), pytest.raises(KoboldError):
        await failing.sample()
    assert (await anext(failing.watch())).stale_since is not None
    broken.clear()
    assert (await failing.sample()).host == HOST


async def test_the_interval_changes_at_once_and_within_bounds() -> None:
    running = service(Driver())
    await running.set_interval(60.0)
    readings = running.watch()
    await anext(readings)
    waiting = asyncio.ensure_future(anext(readings))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await running.set_interval(0.0) == 0.1
    async with asyncio.timeout(20):
        await waiting
    assert await running.set_interval(1e9) == running.interval_seconds == 60.0


async def test_a_hidden_gauge_is_read_rarely_and_a_shown_one_at_once() -> None:
    driver = Driver()
    running = service(driver)
    await running.set_hidden(True)
    readings = running.watch()
    await anext(readings)
    waiting = asyncio.ensure_future(anext(readings))
    await asyncio.wait([waiting], timeout=0.05)
    assert (waiting.done(), driver.calls) == (False, 1)
    await running.set_hidden(False)
    async with asyncio.timeout(20):
        await waiting
    assert driver.calls == 2


async def test_the_history_has_a_point_a_sample_and_none_for_stale_cards() -> None:
    running = service(Driver(card(0), card(1, stale_since=3.0)))
    for _ in range(4):
        await running.sample()
    points = await running.history("GPU-0")
    assert [point.memory_used_bytes for point in points] == [5] * 4
    assert [point.taken_at for point in points] == sorted(point.taken_at for point in points)
    assert await running.history("GPU-1") == await running.history("unknown") == ()
    assert [(point.memory_used_bytes, point.cpu_percent) for point in await running.host_history()] == [
        (6, 3.0)
    ] * 4


async def test_several_watchers_share_samples() -> None:
    driver = Driver()
    shared = service(driver)
    await shared.set_interval(60.0)
    for _ in range(5):
        await anext(shared.watch())
    assert driver.calls == 1
