"""The gauge over NVIDIA's library: whichever call hangs, the host goes on and all heals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nvml_stub import Stub

from kobold_tui.bootstrap.machine import Workers, machine_services
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.services import telemetry as module
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.telemetry import NOT_YET, TelemetryService
from kobold_tui.storage.settings import LoadedSettings

CALLS = (
    *("nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetName"),
    *("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetPcieThroughput"),
    *("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetProcessUtilization", "*"),
)


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    driver = Stub(tmp_path)
    with driver.loaded():
        yield driver


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALE_AFTER_SECONDS", 0.05)


async def open_service() -> TelemetryService:
    service, _ = machine_services(LoadedSettings(), Workers(), OwnThread("hardware"))
    await service.set_interval(0.1)
    return service


async def until(service: TelemetryService, is_true: Callable[[Telemetry], bool]) -> Telemetry:
    async with asyncio.timeout(20):
        async for reading in service.watch():
            if reading.telemetry is not None and is_true(reading.telemetry):
                return reading.telemetry
    raise AssertionError


def is_fresh(telemetry: Telemetry) -> bool:
    return len(telemetry.gpus) == 2 and all(gpu.stale_since is None for gpu in telemetry.gpus)


@pytest.mark.parametrize("call", CALLS)
async def test_a_driver_that_hangs_from_the_start_delays_nothing_else(stub: Stub, call: str) -> None:
    stub.tell("trace", "process 0 77 4096 33", f"block {call}")
    service = await open_service()
    first = await until(service, lambda telemetry: telemetry.notice == NOT_YET)
    later = await until(service, lambda telemetry: telemetry.taken_at > first.taken_at)
    assert (later.gpus, later.host.memory_total_bytes > 0) == ((), True)
    blocked = Counter(stub.calls)[call] if call != "*" else len(stub.calls)
    assert blocked <= 1
    stub.tell()
    assert is_fresh(await until(service, is_fresh))


async def test_a_driver_that_hangs_later_leaves_stale_figures_and_a_running_host(stub: Stub) -> None:
    service = await open_service()
    fresh = await until(service, is_fresh)
    stub.tell("trace", "block nvmlDeviceGetPowerUsage")
    stale = await until(service, lambda telemetry: telemetry.gpus[1].stale_since is not None)
    assert [gpu.memory_total_bytes for gpu in stale.gpus] == [gpu.memory_total_bytes for gpu in fresh.gpus]
    later = await until(service, lambda telemetry: telemetry.taken_at > stale.taken_at)
    assert later.gpus[0].stale_since == stale.gpus[0].stale_since
    assert stub.calls.count("nvmlDeviceGetPowerUsage") == 1
    stub.tell()
    assert is_fresh(await until(service, is_fresh))
