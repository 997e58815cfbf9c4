"""Hardware for tests of the gauge: cards by number, a past, and a clock that stands still."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import AsyncIterator, Sequence

import msgspec
from fake_world import GIB, World

from kobold_tui.domain.gpu import (
    GpuPoint,
    GpuProcess,
    GpuSnapshot,
    HostPoint,
    HostSnapshot,
    MigInstance,
    Telemetry,
)
from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.engine.script import Script
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.registry import Services
from kobold_tui.services.telemetry import Reading, TelemetryService

NOW = 6000.0
HOST = HostSnapshot(
    memory_total_bytes=128 * GIB,
    memory_available_bytes=101 * GIB,
    swap_total_bytes=8 * GIB,
    swap_used_bytes=GIB // 4,
    cpu_percent=17.0,
)


def card(index: int = 0, **fields: object) -> GpuSnapshot:
    """Return a card with all its figures, apart from those that are given."""
    known = GpuSnapshot(
        index=index,
        uuid=f"GPU-{index}",
        name="NVIDIA A100-SXM4-80GB",
        memory_total_bytes=80 * GIB,
        memory_used_bytes=(46 - 5 * (index % 4)) * GIB,
        memory_free_bytes=(33 + 5 * (index % 4)) * GIB,
        utilization_percent=(37 + 29 * index) % 101,
        temperature_c=45 + (9 + 13 * index) % 41,
        power_w=172.0 + 31 * (index % 5),
        power_limit_w=400.0,
        fan_percent=30 + index,
        clock_sm_mhz=1410,
        performance_state=0,
        throttle_reasons=(),
        pcie_rx_bytes_per_second=3 * GIB // 2,
        pcie_tx_bytes_per_second=GIB // 4,
        processes=(
            GpuProcess(
                pid=2400 + index,
                name="python",
                user="you",
                memory_bytes=21 * GIB,
                utilization_percent=31,
                instance="lantern-30b",
                is_verified=True,
            ),
            GpuProcess(pid=2500, memory_bytes=6 * GIB, instance="embedder", is_verified=True),
            GpuProcess(pid=9000 + index, name="train.py", user="ada", memory_bytes=3 * GIB, is_verified=True),
            GpuProcess(pid=77, memory_bytes=GIB),
        ),
    )
    return msgspec.structs.replace(known, **fields)


def bare_card(index: int = 0) -> GpuSnapshot:
    """Return a card of which only the name is known."""
    return GpuSnapshot(index=index, uuid="", name="Old card", are_processes_known=False)


def sliced_card(index: int = 0) -> GpuSnapshot:
    """Return a card in MIG mode with two slices, one of which is hidden from us."""
    process = GpuProcess(pid=2400, memory_bytes=4 * GIB, instance="lantern-30b", is_verified=True)
    slices = tuple(
        MigInstance(
            index=number,
            uuid=f"MIG-{number}",
            name="NVIDIA A100-SXM4-80GB MIG 3g.40gb",
            memory_total_bytes=39 * GIB,
            memory_used_bytes=(5 - number) * GIB,
            processes=(process,) if number == 0 else (),
            is_visible=number == 0,
        )
        for number in range(2)
    )
    return card(index, mig_enabled=True, mig_instances=slices, processes=(), utilization_percent=None)


def telemetry(gpus: Sequence[GpuSnapshot] = (), **fields: object) -> Telemetry:
    """Return a reading of these cards."""
    known = Telemetry(
        taken_at=NOW,
        host=HOST,
        gpus=tuple(gpus),
        driver="580.95.05" if gpus else None,
        cuda_version="13.0" if gpus else None,
        workers={"lantern-30b": 2 * GIB},
    )
    return msgspec.structs.replace(known, **fields)


def past(index: int, now: float = NOW) -> tuple[GpuPoint, ...]:
    """Return ten minutes of a card, one point every two seconds."""
    return tuple(
        GpuPoint(
            taken_at=at,
            memory_used_bytes=round((40 + 12 * math.sin(at / 90 + index)) * GIB),
            utilization_percent=round(50 + 49 * math.sin(at / 40 + index)),
            power_w=None,
            temperature_c=None,
        )
        for at in (now - 2 * step for step in range(299, 0, -1))
    )


class StillTelemetry(TelemetryService):
    """Gives what the test says, and a past that does not depend on when the test runs."""

    def __init__(self, world: GaugeWorld) -> None:
        super().__init__(lambda: world.telemetry, OwnThread("still hardware"), interval_seconds=1.0)
        self._world = world

    async def watch(self) -> AsyncIterator[Reading]:
        shown: Telemetry | None = None
        while True:
            if self._world.telemetry is not shown:
                shown = self._world.telemetry
                yield Reading(telemetry=shown)
            await asyncio.sleep(0.005)

    async def history(self, key: str) -> tuple[GpuPoint, ...]:
        return past(int(key.removeprefix("GPU-"))) if key.startswith("GPU-") else ()

    async def host_history(self) -> tuple[HostPoint, ...]:
        return tuple(
            HostPoint(
                taken_at=point.taken_at,
                memory_used_bytes=27 * GIB,
                cpu_percent=float(point.utilization_percent or 0) / 3,
            )
            for point in past(0)
        )

    @property
    def is_hidden(self) -> bool:
        """Whether nobody is said to see the gauge."""
        return self._is_hidden


class GaugeWorld(World):
    """A world whose hardware is one reading, which the test may replace at any time."""

    def __init__(
        self,
        reading: Telemetry,
        models: Sequence[ModelEntry | ModelFault] = (),
        script: Script | None = None,
        *,
        slow: bool = False,
    ) -> None:
        super().__init__(models, script, slow=slow)
        self.telemetry = reading
        self.watched: StillTelemetry | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Services]:
        """Open the services with hardware that stands still."""
        async with super().open() as services:
            self.watched = StillTelemetry(self)
            yield dataclasses.replace(services, telemetry=self.watched)
