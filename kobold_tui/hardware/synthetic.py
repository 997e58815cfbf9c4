"""Two cards and a machine that do not exist, for the demonstration: they move as real ones do.

All figures are functions of the time and of the models that are said to be loaded. So they have a past, and
with a clock that stands still they are the same in every picture.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import msgspec

from kobold_tui.domain.gpu import (
    GpuPoint,
    GpuProcess,
    GpuReading,
    GpuSnapshot,
    HostPoint,
    HostSnapshot,
    Telemetry,
)
from kobold_tui.domain.units import GIB, MIB

N_CARDS = 2
CARD_BYTES, RAM_BYTES, SWAP_BYTES = 48 * GIB, 128 * GIB, 8 * GIB
RESERVED_BYTES = 420 * MIB
NEIGHBOUR = GpuProcess(
    pid=41873, name="python3", user="ada", memory_bytes=42 * GIB + 600 * MIB, is_verified=True
)
"""Somebody else's training run on the last card."""

PAST_SECONDS, PAST_STEP_SECONDS = 600.0, 2.0
WARM_UP_SECONDS = 24.0


class SyntheticLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A model that holds memory: bytes by card, and how much of them is there yet (0 to 1)."""

    name: str
    pid: int
    card_bytes: tuple[int, ...]
    ram_bytes: int = 300 * MIB
    share: float = 1.0
    is_busy: bool = False


class SyntheticMachine:
    """Reads the cards and the host; `loads` tells which models there are now."""

    def __init__(
        self,
        loads: Callable[[], Sequence[SyntheticLoad]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loads = loads
        self._clock = clock
        self._started_at = clock()

    def read_host(self) -> Telemetry:
        """Return RAM and processor now."""
        now, loads = self._clock(), self._loads()
        workers = {load.name: round(load.ram_bytes * load.share) for load in loads}
        used = round(19.4 * GIB + 0.3 * GIB * math.sin(now / 31)) + sum(workers.values())
        host = HostSnapshot(
            memory_total_bytes=RAM_BYTES,
            memory_available_bytes=RAM_BYTES - used,
            swap_total_bytes=SWAP_BYTES,
            swap_used_bytes=190 * MIB,
            cpu_percent=_cpu_percent(now) + (9.0 if any(load.is_busy for load in loads) else 0.0),
        )
        return Telemetry(taken_at=now, host=host, workers=workers)

    def read_gpus(self) -> GpuReading:
        """Return the cards now."""
        now, loads = self._clock(), self._loads()
        cards = tuple(self._card(index, now, loads) for index in range(N_CARDS))
        return GpuReading(taken_at=now, gpus=cards, driver="580.95.05", cuda_version="13.0")

    def past(self, key: str) -> tuple[GpuPoint, ...]:
        """Return ten minutes of a card (`GpuSnapshot.key`) before the start."""
        index = next((index for index in range(N_CARDS) if card_uuid(index) == key), None)
        return tuple(_past_point(index, at) for at in self._past_times()) if index is not None else ()

    def host_past(self) -> tuple[HostPoint, ...]:
        """Return ten minutes of the machine before the start."""
        return tuple(
            HostPoint(taken_at=at, memory_used_bytes=19 * GIB, cpu_percent=_cpu_percent(at))
            for at in self._past_times()
        )

    def _past_times(self) -> list[float]:
        count = int(PAST_SECONDS / PAST_STEP_SECONDS)
        return [self._started_at - step * PAST_STEP_SECONDS for step in range(count, 0, -1)]

    def _card(self, index: int, now: float, loads: Sequence[SyntheticLoad]) -> GpuSnapshot:
        ours = [load for load in loads if len(load.card_bytes) > index and load.card_bytes[index]]
        busy = any(load.is_busy for load in ours)
        load = _our_percent(now) if busy else _neighbour_percent(now) if _has_neighbour(index) else 0.0
        processes = _processes(index, ours, now)
        used = 2 * MIB + sum(process.memory_bytes or 0 for process in processes)
        degrees = _degrees(load, now)
        return GpuSnapshot(
            index=index,
            uuid=card_uuid(index),
            name="NVIDIA RTX 6000 Ada Generation",
            pci_bus_id=f"00000000:{0x17 + 0x4B * index:02X}:00.0",
            memory_total_bytes=CARD_BYTES,
            memory_reserved_bytes=RESERVED_BYTES,
            memory_used_bytes=used,
            memory_free_bytes=CARD_BYTES - used - RESERVED_BYTES,
            utilization_percent=round(load),
            memory_utilization_percent=round(load * 0.6),
            temperature_c=degrees,
            power_w=_watts(load, now),
            power_limit_w=300.0,
            fan_percent=30 + max(0, degrees - 45),
            clock_sm_mhz=2505 if load > 1 else 210,
            clock_memory_mhz=10001 if load > 1 else 405,
            performance_state=2 if load > 1 else 8,
            throttle_reasons=(),
            pcie_tx_bytes_per_second=round(load * MIB),
            pcie_rx_bytes_per_second=round(load * 3 * MIB),
            ecc_corrected=0,
            ecc_uncorrected=0,
            mig_enabled=False,
            processes=processes,
        )


def card_uuid(index: int) -> str:
    """Return the name by which a card is known from one reading to the next."""
    return f"GPU-de300000-0000-4000-8000-{index:012d}"


def _has_neighbour(index: int) -> bool:
    return index == N_CARDS - 1


def _processes(index: int, ours: Sequence[SyntheticLoad], now: float) -> tuple[GpuProcess, ...]:
    found = [
        GpuProcess(
            pid=load.pid,
            name="kobold-tui worker",
            user="you",
            memory_bytes=round(load.card_bytes[index] * load.share),
            utilization_percent=round(_our_percent(now)) if load.is_busy else 0,
            instance=load.name,
            is_verified=True,
        )
        for load in ours
    ]
    if _has_neighbour(index):
        percent = round(_neighbour_percent(now))
        found.append(msgspec.structs.replace(NEIGHBOUR, utilization_percent=percent))
    return tuple(found)


def _past_point(index: int, at: float) -> GpuPoint:
    """Return a moment before the start: answers now and then on the first card, training on the last."""
    if _has_neighbour(index):
        load, used = _neighbour_percent(at), NEIGHBOUR.memory_bytes or 0
    else:
        load = _our_percent(at) if at % 97 < 41 else 0.0
        used = 21 * GIB
    return GpuPoint(
        taken_at=at,
        memory_used_bytes=used,
        utilization_percent=round(load),
        power_w=_watts(load, at),
        temperature_c=_degrees(load, at),
    )


def _our_percent(at: float) -> float:
    return 92 + 5 * math.sin(at / 1.7)


def _neighbour_percent(at: float) -> float:
    return 55 + 22 * math.sin(at / 23) + 7 * math.sin(at / 5.3)


def _cpu_percent(at: float) -> float:
    return 6 + 3 * math.sin(at / 9) + 2 * math.sin(at / 2.3)


def _degrees(load: float, at: float) -> int:
    return round(37 + load * 0.34 + 1.5 * math.sin(at / WARM_UP_SECONDS))


def _watts(load: float, at: float) -> float:
    return round(24 + load * 2.6 + 3 * math.sin(at / 3.1), 1)
