"""Engines by name, seen and ended together."""

from __future__ import annotations

import asyncio

import pytest

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import Instance, InstanceId, LoadSpec, Ready, Stopped
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool

CHAT, EMBEDDER = InstanceId("chat"), InstanceId("embedder")
SPEC = LoadSpec(path="model.gguf")


async def test_an_engine_is_made_once_for_each_name() -> None:
    pool = EnginePool(FakeEngine)
    chat = pool.get_or_create(CHAT)
    assert pool.get_or_create(CHAT) is chat
    assert pool.get_or_create(EMBEDDER) is not chat
    assert list(pool.engines()) == [CHAT, EMBEDDER]


async def test_instances_are_the_engines_that_were_asked_to_load_something() -> None:
    pool = EnginePool(FakeEngine)
    pool.get_or_create(EMBEDDER)
    info = await pool.get_or_create(CHAT).ensure_ready(SPEC)
    assert pool.instances() == (Instance(id=CHAT, spec=SPEC, state=Ready(info)),)


async def test_every_change_of_any_engine_is_told_until_nobody_listens() -> None:
    pool = EnginePool(FakeEngine)
    told: list[tuple[Instance, ...]] = []
    unwatch = pool.watch(told.append)
    await pool.get_or_create(CHAT).ensure_ready(SPEC)
    await pool.get_or_create(EMBEDDER).ensure_ready(SPEC)
    assert [type(instance.state).__name__ for instance in told[0]] == ["Starting"]
    assert [(i.id, type(i.state).__name__) for i in told[-1]] == [(CHAT, "Ready"), (EMBEDDER, "Ready")]
    unwatch()
    count = len(told)
    await pool.get_or_create(CHAT).stop()
    assert len(told) == count


async def test_a_removed_engine_is_stopped_and_forgotten() -> None:
    pool = EnginePool(FakeEngine)
    chat = pool.get_or_create(CHAT)
    await chat.ensure_ready(SPEC)
    told: list[tuple[Instance, ...]] = []
    pool.watch(told.append)
    await pool.remove(CHAT)
    await pool.remove(CHAT)
    assert chat.state == Stopped()
    assert pool.instances() == ()
    assert told[-1] == ()


async def test_closing_stops_all_engines_side_by_side_and_makes_no_new_ones() -> None:
    both = asyncio.Barrier(2)

    class Slow(FakeEngine):
        async def stop(self) -> None:
            await both.wait()
            await super().stop()

    pool = EnginePool(Slow)
    engines = [pool.get_or_create(name) for name in (CHAT, EMBEDDER)]
    for engine in engines:
        await engine.ensure_ready(SPEC)
    async with asyncio.timeout(5):
        await pool.close()
    assert [engine.state for engine in engines] == [Stopped(), Stopped()]
    with pytest.raises(EngineError, match="ending"):
        pool.get_or_create(CHAT)


async def test_one_engine_that_cannot_stop_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(FakeEngine):
        async def stop(self) -> None:
            raise EngineError("Stuck", "It does not stop.")

    pool = EnginePool(lambda name: Stuck(name) if name == CHAT else FakeEngine(name))
    pool.get_or_create(CHAT)
    embedder = pool.get_or_create(EMBEDDER)
    await embedder.ensure_ready(SPEC)
    await pool.close()
    assert embedder.state == Stopped()
    assert "Instance chat did not stop" in caplog.text
