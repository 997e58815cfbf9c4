"""Loading, replacing, restarting and stopping, over engines without processes."""

from __future__ import annotations

import asyncio

import pytest

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.instance import Failed, InstanceId, InstanceState, Loading, LoadSpec, Ready
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.script import Script
from kobold_tui.services.loading import LoadingService, instance_name, is_live, is_ready

ONE, TWO = LoadSpec(path="/models/one.gguf"), LoadSpec(path="/models/two.gguf")


class Bench:
    """A loading service over fake engines that can be reached."""

    def __init__(self, script: Script | None = None) -> None:
        self.engines: dict[str, FakeEngine] = {}
        self.script = script or Script()
        self.loading = LoadingService(EnginePool(self.make))

    def make(self, instance_id: InstanceId) -> FakeEngine:
        self.engines[instance_id] = FakeEngine(instance_id, self.script)
        return self.engines[instance_id]


async def test_a_load_ends_with_a_ready_instance_that_bears_the_files_name() -> None:
    instance = await Bench().loading.load(ONE)
    assert instance.id == "one"
    assert is_ready(instance.state)


async def test_states_are_told_in_order() -> None:
    states: list[InstanceState] = []
    await Bench().loading.load(ONE, on_state=states.append)
    kinds = [type(state).__name__ for state in states]
    assert kinds[0] == "Starting"
    assert kinds[-1] == "Ready"
    assert "Loading" in kinds


async def test_models_can_stand_side_by_side() -> None:
    made = Bench()
    await made.loading.load(ONE)
    await made.loading.load(TWO)
    assert [instance.id for instance in made.loading.instances()] == ["one", "two"]


async def test_a_crashed_model_is_loaded_again_by_restart() -> None:
    made = Bench()
    await made.loading.load(ONE)
    made.engines["one"].crash()
    assert isinstance(made.engines["one"].state, Failed)
    instance = await made.loading.restart(InstanceId("one"))
    assert isinstance(instance.state, Ready)


async def test_a_refused_load_is_an_error_in_words_and_leaves_the_failed_instance_in_view() -> None:
    made = Bench(Script(refuse_load=Failure(title="Cannot load", message="one.gguf is truncated.")))
    with pytest.raises(EngineError, match=r"one\.gguf is truncated"):
        await made.loading.load(ONE)
    assert isinstance(made.loading.instances()[0].state, Failed)


async def test_cancelling_a_load_ends_it() -> None:
    made = Bench(Script(hold_load=True))
    loading = asyncio.Event()

    def note(state: InstanceState) -> None:
        if isinstance(state, Loading):
            loading.set()

    load = asyncio.create_task(made.loading.load(ONE, on_state=note))
    await loading.wait()
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert not is_live(made.engines["one"].state)


async def test_stopping_forgets_the_instance() -> None:
    made = Bench()
    await made.loading.load(ONE)
    await made.loading.stop(InstanceId("one"))
    assert made.loading.instances() == ()
    with pytest.raises(EngineError, match="not loaded"):
        made.loading.engine(InstanceId("one"))


async def test_watching_gives_the_present_and_every_change() -> None:
    made = Bench()
    changes = made.loading.watch()
    assert await anext(changes) == ()
    await made.loading.load(ONE)
    assert isinstance((await anext(changes))[0].state, Ready)


def test_an_instance_is_named_after_its_file_safely() -> None:
    assert (
        instance_name(LoadSpec(path="/m/Qwen3-30B-A3B-Q4_K_M-00001-of-00003.gguf")) == "Qwen3-30B-A3B-Q4_K_M"
    )
    assert instance_name(LoadSpec(path="/m/a b/../ü\n*.gguf")) == "ü-"
    assert instance_name(LoadSpec(path="/m/.gguf")) == ".gguf"
