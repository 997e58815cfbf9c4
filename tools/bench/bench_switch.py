"""Switching between two models: how much longer than loading the new one it takes.

Both sides load the same file into a fresh process by turns: one through the switch, with an old model that
serves until then or that has to go first, the other by a load alone.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import msgspec

from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.process import ProcessEngine
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.switching import NoRoomError, SwitchingService
from tools.bench.measure import Row
from tools.bench.models import starter

PAIRS = 7


class _Room:
    """Room for one model or for two, as the bench says."""

    def __init__(self) -> None:
        self.crowded = False

    async def claim(
        self, instance_id: InstanceId, _spec: LoadSpec, *, leaving: InstanceId | None = None
    ) -> MemoryEstimate | None:
        if self.crowded and leaving is None:
            raise NoRoomError("No room", f"{instance_id} does not fit.")
        return None

    async def loaded(self, _instance_id: InstanceId) -> None:
        pass

    async def release(self, _instance_id: InstanceId) -> None:
        pass


def run() -> list[Row]:
    """Return the rows of the report."""
    return asyncio.run(_measure(starter()))


async def _measure(model: LoadSpec) -> list[Row]:
    rows = []
    for crowded, name in ((False, "the old model serves meanwhile"), (True, "the old model goes first")):
        pairs = [await _pair(model, crowded=crowded) for _ in range(PAIRS + 1)][1:]
        extra = [switch - load for switch, load in pairs]
        rows.append(Row(f"load alone ({name})", f"{statistics.median(load for _, load in pairs):.3f} s"))
        words = f"{statistics.median(extra):+.3f} s  ({min(extra):+.3f} to {max(extra):+.3f}, {PAIRS} pairs)"
        rows.append(Row("switch, beyond that", words))
    return rows


async def _pair(model: LoadSpec, *, crowded: bool) -> tuple[float, float]:
    """Return the seconds of a switch and of a load alone."""
    old, new = (msgspec.structs.replace(model, template=name) for name in ("auto", "chatml"))
    loading, room = LoadingService(EnginePool(ProcessEngine)), _Room()
    switching = SwitchingService(loading, room)
    first = await switching.switch(old)
    room.crowded = crowded
    begun = time.perf_counter()
    await switching.switch(new, first.instance.id)
    switched = time.perf_counter() - begun
    await loading.close()
    alone = LoadingService(EnginePool(ProcessEngine))
    begun = time.perf_counter()
    await alone.load(new)
    loaded = time.perf_counter() - begun
    await alone.close()
    return switched, loaded
