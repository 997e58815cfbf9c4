"""Models that nobody asks make way; those that are pinned, busy or elsewhere do not."""

from __future__ import annotations

import asyncio

import pytest

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.script import Script
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.residency import ResidencyService


class Bench:
    """Three models and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ticks: asyncio.Queue[None] = asyncio.Queue()
        self.loading = LoadingService(EnginePool(self._make), clock=lambda: self.now)
        self.residency = ResidencyService(self.loading, 60.0, clock=lambda: self.now, sleep=self._sleep)
        self.engines: dict[str, FakeEngine] = {}

    async def load(
        self, name: str, idle: float | None = None, endpoint: Endpoint | None = None
    ) -> InstanceId:
        spec = LoadSpec(path=f"/models/{name}.gguf", idle_unload_seconds=idle, endpoint=endpoint)
        return (await self.loading.load(spec, InstanceId(name))).id

    def parked(self) -> set[str]:
        return {one.id for one in self.loading.instances() if one.is_parked}

    def _make(self, instance_id: InstanceId) -> FakeEngine:
        self.engines[instance_id] = FakeEngine(instance_id, Script(reply="one two three"))
        return self.engines[instance_id]

    async def _sleep(self, _seconds: float) -> None:
        await self.ticks.get()


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_model_is_parked_after_its_time_and_not_before(bench: Bench) -> None:
    await bench.load("a")
    bench.now += 59
    await bench.residency.park_idle()
    assert bench.parked() == set()
    bench.now += 1
    await bench.residency.park_idle()
    assert bench.parked() == {"a"}


async def test_a_request_starts_the_time_anew(bench: Bench) -> None:
    a = await bench.load("a")
    bench.now += 50
    _ = [event async for event in bench.loading.engine(a).generate(GenerateRequest(prompt="x"))]
    bench.now += 50
    await bench.residency.park_idle()
    assert bench.parked() == set()


async def test_a_model_may_have_a_time_of_its_own(bench: Bench) -> None:
    await bench.load("never", idle=0)
    await bench.load("soon", idle=5)
    bench.now += 10_000
    await bench.residency.park_idle()
    assert bench.parked() == {"soon"}


async def test_what_is_pinned_busy_or_elsewhere_stays(bench: Bench) -> None:
    pinned, busy = await bench.load("pinned"), await bench.load("busy")
    await bench.load("remote", endpoint=Endpoint(url="http://127.0.0.1:1/v1"))
    bench.loading.pin(pinned, pinned=True)
    bench.engines["busy"].flowing.clear()
    answer = bench.loading.engine(busy).generate(GenerateRequest(prompt="x"))
    first = asyncio.ensure_future(anext(answer))
    async with asyncio.timeout(20):
        while not bench.loading.instance(busy).active:  # noqa: ASYNC110 - the engine sets no event
            await asyncio.sleep(0)
    bench.now += 10_000
    await bench.residency.park_idle()
    assert bench.parked() == set()
    bench.engines["busy"].flowing.set()
    await first
    await answer.aclose()
    bench.loading.pin(pinned, pinned=False)
    bench.now += 10_000
    await bench.residency.park_idle()
    assert bench.parked() == {"pinned", "busy"}


async def test_a_preset_can_pin_its_model(bench: Bench) -> None:
    spec = LoadSpec(path="/models/kept.gguf", is_pinned=True)
    assert (await bench.loading.load(spec)).is_pinned
    bench.now += 10_000
    await bench.residency.park_idle()
    assert bench.parked() == set()


async def test_the_one_not_used_for_longest_goes_first(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.now += 1
        await bench.load(name)
    bench.now += 1
    _ = [event async for event in bench.loading.engine(InstanceId("a")).generate(GenerateRequest(prompt="x"))]
    assert [one.id for one in bench.residency.evictable()] == ["b", "c", "a"]


async def test_it_looks_by_itself_until_it_is_closed(bench: Bench) -> None:
    await bench.load("a")
    bench.residency.start()
    bench.now += 100
    bench.ticks.put_nowait(None)
    async with asyncio.timeout(20):
        while not bench.parked():  # noqa: ASYNC110 - parking sets no event
            await asyncio.sleep(0)
    await bench.residency.close()
