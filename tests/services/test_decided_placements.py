"""Where a spec leaves its placement open, what is loaded is decided; what was asked for stays in view."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.script import Script
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.switching import NoRoomError, SwitchingService

ONE, TWO = LoadSpec(path="/models/one.gguf"), LoadSpec(path="/models/two.gguf")
ID_ONE = InstanceId("one")


class Bench:
    """Loading and switching, with layers decided one after another; room is told of what is to be loaded."""

    def __init__(self, *layers: int, places: int = 2) -> None:
        self.layers = list(layers)
        self.places = places
        self.engines: dict[str, FakeEngine] = {}
        self.scripts: dict[str, Script] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.claimed: list[LoadOptions] = []
        self.loading = LoadingService(EnginePool(self._make))
        self.loading.decide_with(self._decide)
        self.switching = SwitchingService(self.loading, self)

    def loads(self, name: str) -> list[LoadOptions]:
        """Return how an engine was asked to load, in order."""
        return [item.options for item in self.engines[name].history if isinstance(item, LoadSpec)]

    async def claim(
        self, instance_id: InstanceId, spec: LoadSpec, *, leaving: InstanceId | None = None
    ) -> MemoryEstimate | None:
        self.claimed.append(spec.options)
        if len(self.loading.instances()) - (leaving is not None) >= self.places:
            raise NoRoomError("No room", f"{instance_id} does not fit.")
        return None

    async def loaded(self, instance_id: InstanceId) -> None:
        """Take no note."""

    async def release(self, instance_id: InstanceId) -> None:
        """Take no note."""

    async def _decide(self, spec: LoadSpec, leaving: InstanceId | None) -> LoadSpec:
        self.asked.append((spec.path, leaving))
        await asyncio.sleep(0)
        return msgspec.structs.replace(spec, options=LoadOptions(n_gpu_layers=self.layers.pop(0)))

    def _make(self, instance_id: InstanceId) -> FakeEngine:
        engine = FakeEngine(instance_id, self.scripts.get(instance_id, Script()))
        self.engines[instance_id] = engine
        return engine


async def test_the_engine_gets_what_was_decided_and_the_list_what_was_asked_for() -> None:
    bench = Bench(5)
    instance = await bench.loading.load(ONE)
    assert bench.loads("one") == [LoadOptions(n_gpu_layers=5)]
    assert instance.spec == ONE
    assert instance.placed == LoadOptions(n_gpu_layers=5)


async def test_a_model_that_is_there_stays_as_it_was_placed() -> None:
    bench = Bench(5, 7)
    await bench.loading.load(ONE)
    again = await bench.loading.load(ONE)
    assert again.placed == LoadOptions(n_gpu_layers=5)
    both = Bench(5, 7)
    first, second = await asyncio.gather(both.loading.load(ONE), both.loading.load(ONE))
    assert first.placed == second.placed == LoadOptions(n_gpu_layers=5)


async def test_a_restart_is_placed_anew() -> None:
    bench = Bench(5, 3)
    await bench.loading.load(ONE)
    assert (await bench.loading.restart(ID_ONE)).placed == LoadOptions(n_gpu_layers=3)


async def test_without_anybody_to_decide_the_spec_is_loaded_as_it_is() -> None:
    loading = LoadingService(EnginePool(FakeEngine))
    assert (await loading.load(ONE)).placed is None


async def test_a_switch_is_placed_as_if_the_old_model_was_gone_before_room_is_claimed() -> None:
    bench = Bench(5, 9)
    await bench.switching.switch(ONE)
    switched = await bench.switching.switch(TWO, ID_ONE)
    assert bench.asked == [(ONE.path, None), (TWO.path, "one")]
    assert bench.claimed == [LoadOptions(n_gpu_layers=5), LoadOptions(n_gpu_layers=9)]
    assert (switched.instance.spec, switched.instance.placed) == (TWO, LoadOptions(n_gpu_layers=9))


async def test_what_is_loaded_already_is_not_switched_to() -> None:
    bench = Bench(5)
    first = await bench.switching.switch(ONE)
    assert (await bench.switching.switch(ONE, ID_ONE)).instance == first.instance
    assert len(bench.asked) == 1


async def test_a_model_that_is_brought_back_is_placed_as_before() -> None:
    bench = Bench(5, 9, places=1)
    bench.scripts["two"] = Script(refuse_load=Failure(title="Cannot load", message="two.gguf is truncated."))
    await bench.switching.switch(ONE)
    with pytest.raises(EngineError, match="truncated"):
        await bench.switching.switch(TWO, ID_ONE)
    assert bench.loading.instance(ID_ONE).placed == LoadOptions(n_gpu_layers=5)
    assert bench.loads("one") == [LoadOptions(n_gpu_layers=5)]
