"""From one model to another: what was there stays until the new one is, and comes back if it never is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.generation import Finished, GenerateRequest, TextDelta
from kobold_tui.domain.instance import Failed, InstanceId, InstanceState, Loading, LoadSpec, Ready
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.script import Script
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.switching import NoRoomError, SwitchingService

ONE, TWO = LoadSpec(path="/models/one.gguf"), LoadSpec(path="/models/two.gguf")
ID_ONE, ID_TWO = InstanceId("one"), InstanceId("two")
REFUSED = Failure(title="Cannot load", message="two.gguf is truncated.")
ESTIMATE = MemoryEstimate(n_gpu_layers=0, n_layer=1, devices=())


class Room:
    """So many models fit at once; notes what was claimed and given back."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.count: Callable[[], int] = lambda: 0
        self.log: list[str] = []

    async def claim(
        self, instance_id: InstanceId, _spec: LoadSpec, *, leaving: InstanceId | None = None
    ) -> MemoryEstimate:
        if self.count() - (leaving is not None) >= self.places:
            raise NoRoomError("No room", f"{instance_id} does not fit.")
        self.log.append(f"claim {instance_id}")
        return ESTIMATE

    async def loaded(self, instance_id: InstanceId) -> None:
        self.log.append(f"loaded {instance_id}")

    async def release(self, instance_id: InstanceId) -> None:
        self.log.append(f"release {instance_id}")


class Bench:
    """Switching over fake engines; `scripts` say how the model of each instance behaves."""

    def __init__(self, places: int) -> None:
        self.scripts: dict[str, Script] = {}
        self.engines: dict[str, FakeEngine] = {}
        self.room = Room(places)
        self.loading = LoadingService(EnginePool(self._make))
        self.room.count = lambda: sum(isinstance(one.state, Ready) for one in self.loading.instances())
        self.switching = SwitchingService(self.loading, self.room)

    def _make(self, instance_id: InstanceId) -> FakeEngine:
        engine = FakeEngine(instance_id, self.scripts.get(instance_id, Script(reply="All is well.")))
        self.engines[instance_id] = engine
        return engine

    def ready(self) -> list[str]:
        """Names of the models that answer."""
        return [one.id for one in self.loading.instances() if isinstance(one.state, Ready)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that the loop brings about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - many events lead to it
            await asyncio.sleep(0)


async def begun(bench: Bench, work: Awaitable[object], instance: str) -> asyncio.Task[object]:
    """Begin a switch and wait until the model loads."""
    task = asyncio.ensure_future(work)
    await until(lambda: instance in bench.engines and isinstance(bench.engines[instance].state, Loading))
    assert isinstance(task, asyncio.Task)
    return task


async def test_the_first_model_is_simply_loaded() -> None:
    bench = Bench(places=2)
    switched = await bench.switching.switch(ONE)
    assert (switched.instance.id, switched.left, switched.overlapped) == ("one", None, False)
    assert bench.room.log == ["claim one", "loaded one"]
    assert switched.instance.estimate == ESTIMATE


async def test_the_old_model_serves_until_the_new_one_is_ready() -> None:
    bench = Bench(places=2)
    bench.scripts["two"] = Script(hold_load=True)
    await bench.switching.switch(ONE)
    switch = await begun(bench, bench.switching.switch(TWO, ID_ONE), "two")
    answer = [event async for event in bench.loading.engine(ID_ONE).generate(GenerateRequest(prompt="x"))]
    assert isinstance(answer[-1], Finished)
    bench.engines["two"].released.set()
    assert (await switch).overlapped  # type: ignore[attr-defined]
    await until(lambda: bench.ready() == ["two"])


async def test_an_answer_under_way_is_finished_by_the_old_model() -> None:
    bench = Bench(places=2)
    await bench.switching.switch(ONE)
    old = bench.engines["one"]
    old.flowing.clear()
    answer = bench.loading.engine(ID_ONE).generate(GenerateRequest(prompt="x"))
    first = asyncio.ensure_future(anext(answer))
    await until(lambda: bench.loading.instance(ID_ONE).active == 1)
    await bench.switching.switch(TWO, ID_ONE)
    assert bench.ready() == ["one", "two"]
    old.flowing.set()
    events = [await first, *[event async for event in answer]]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason != "cancelled"
    await until(lambda: bench.ready() == ["two"])


async def test_without_room_for_both_the_old_one_goes_first() -> None:
    bench = Bench(places=1)
    bench.scripts["two"] = Script(hold_load=True)
    await bench.switching.switch(ONE)
    switch = await begun(bench, bench.switching.switch(TWO, ID_ONE), "two")
    assert bench.ready() == []
    bench.engines["two"].released.set()
    switched = await switch
    assert (switched.left, switched.overlapped) == ("one", False)  # type: ignore[attr-defined]
    assert bench.ready() == ["two"]


@pytest.mark.parametrize("places", [1, 2])
async def test_a_load_that_fails_leaves_or_brings_back_the_old_model(places: int) -> None:
    bench = Bench(places)
    bench.scripts["two"] = Script(refuse_load=REFUSED)
    await bench.switching.switch(ONE)
    with pytest.raises(EngineError, match="truncated"):
        await bench.switching.switch(TWO, ID_ONE)
    assert [one.id for one in bench.loading.instances()] == bench.ready() == ["one"]
    assert bench.room.log[-1] == "release two"


@pytest.mark.parametrize("places", [1, 2])
async def test_cancelling_leaves_or_brings_back_the_old_model(places: int) -> None:
    bench = Bench(places)
    bench.scripts["two"] = Script(hold_load=True)
    await bench.switching.switch(ONE)
    switch = await begun(bench, bench.switching.switch(TWO, ID_ONE), "two")
    switch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await switch
    assert [one.id for one in bench.loading.instances()] == bench.ready() == ["one"]
    assert bench.room.log[-1] == "release two"


async def test_two_failures_are_both_told() -> None:
    bench = Bench(places=1)
    bench.scripts["two"] = Script(refuse_load=REFUSED)
    await bench.switching.switch(ONE)
    bench.scripts["one"] = Script(refuse_load=Failure(title="Gone", message="one.gguf is no more."))
    with pytest.raises(EngineError, match=r"truncated.*no more"):
        await bench.switching.switch(TWO, ID_ONE)


async def test_what_fits_nowhere_is_refused_and_nothing_is_touched() -> None:
    bench = Bench(places=0)
    with pytest.raises(NoRoomError):
        await bench.switching.switch(ONE)
    assert bench.loading.instances() == ()
    bench.room.places = 1
    await bench.switching.switch(ONE)
    bench.room.places = 0
    with pytest.raises(NoRoomError):
        await bench.switching.switch(TWO, ID_ONE)
    assert bench.ready() == ["one"]


async def test_who_wants_it_anyway_gets_it() -> None:
    bench = Bench(places=0)
    await bench.switching.switch(ONE, anyway=True)
    await bench.switching.switch(TWO, ID_ONE, anyway=True)
    assert bench.ready() == ["two"]


async def test_a_first_load_that_fails_stays_in_view() -> None:
    bench = Bench(places=1)
    bench.scripts["two"] = Script(refuse_load=REFUSED)
    with pytest.raises(EngineError):
        await bench.switching.switch(TWO)
    assert isinstance(bench.loading.instance(ID_TWO).state, Failed)
    assert bench.room.log == ["claim two", "release two"]
    bench.scripts["two"] = Script()
    switched = await bench.switching.switch(ONE, ID_TWO)
    assert switched.left == "two"
    assert [one.id for one in bench.loading.instances()] == ["one"]


async def test_other_options_of_the_same_model_are_another_instance() -> None:
    bench = Bench(places=2)
    await bench.switching.switch(ONE)
    other = LoadSpec(path=ONE.path, template="chatml")
    switched = await bench.switching.switch(other, ID_ONE)
    assert (switched.instance.id, switched.overlapped) == ("one-2", True)
    await until(lambda: bench.ready() == ["one-2"])


async def test_what_is_loaded_already_is_not_loaded_again() -> None:
    bench = Bench(places=1)
    await bench.switching.switch(ONE)
    switched = await bench.switching.switch(ONE, ID_ONE)
    assert switched.instance.id == "one"
    assert bench.room.log == ["claim one", "loaded one"]


async def test_a_second_switch_waits_until_the_first_has_been_undone() -> None:
    bench = Bench(places=1)
    bench.scripts["two"] = Script(hold_load=True)
    await bench.switching.switch(ONE)
    first = await begun(bench, bench.switching.switch(TWO, ID_ONE), "two")
    three = LoadSpec(path="/models/three.gguf")
    second = asyncio.ensure_future(bench.switching.switch(three, ID_ONE))
    first.cancel()
    switched = await second
    assert (switched.instance.id, switched.left) == ("three", "one")
    assert bench.ready() == ["three"]


async def test_an_old_model_that_dies_meanwhile_is_no_hindrance() -> None:
    bench = Bench(places=2)
    bench.scripts["two"] = Script(hold_load=True)
    await bench.switching.switch(ONE)
    switch = await begun(bench, bench.switching.switch(TWO, ID_ONE), "two")
    bench.engines["one"].crash()
    bench.engines["two"].released.set()
    await switch
    await until(lambda: [one.id for one in bench.loading.instances()] == ["two"])


async def test_closing_while_an_old_model_still_answers_ends_everything() -> None:
    bench = Bench(places=2)
    await bench.switching.switch(ONE)
    bench.engines["one"].flowing.clear()
    answer = bench.loading.engine(ID_ONE).generate(GenerateRequest(prompt="x"))
    first = asyncio.ensure_future(anext(answer))
    await until(lambda: bench.loading.instance(ID_ONE).active == 1)
    await bench.switching.switch(TWO, ID_ONE)
    await bench.loading.close()
    with pytest.raises(EngineError):
        await first
    assert bench.ready() == []


async def test_states_are_told_with_the_name_of_their_instance() -> None:
    bench = Bench(places=2)
    told: list[tuple[str, InstanceState]] = []
    await bench.switching.switch(ONE, on_state=lambda name, state: told.append((name, state)))
    assert {name for name, _ in told} == {"one"}
    assert isinstance(told[-1][1], Ready)


async def test_use_is_counted_and_a_parked_model_comes_back_when_it_is_asked() -> None:
    bench = Bench(places=1)
    await bench.switching.switch(ONE)
    engine = bench.loading.engine(ID_ONE)
    first = [event async for event in engine.generate(GenerateRequest(prompt="x"))]
    served = sum(event.n_tokens for event in first if isinstance(event, TextDelta))
    assert bench.loading.instance(ID_ONE).tokens_served == served > 0
    await bench.loading.park(ID_ONE)
    assert bench.loading.instance(ID_ONE).is_parked
    assert bench.ready() == []
    again = [event async for event in engine.generate(GenerateRequest(prompt="x"))]
    assert isinstance(again[-1], Finished)
    assert bench.ready() == ["one"]
    assert not bench.loading.instance(ID_ONE).is_parked
