"""What may overlap: loads, stops, crashes and cancelled callers, in any order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.instance import (
    Failed,
    InstanceId,
    InstanceState,
    Loading,
    LoadSpec,
    ModelInfo,
    Ready,
    Starting,
    Stopped,
    Stopping,
)
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.protocol import Engine
from kobold_tui.engine.script import Script
from kobold_tui.engine.states import LEGAL, IllegalTransition, StateCell

A = LoadSpec(path="a.gguf")
B = LoadSpec(path="a.gguf", options=LoadOptions(n_ctx=512))

ALL_STATES: list[InstanceState] = [
    Stopped(),
    Starting(),
    Loading(phase="weights"),
    Stopping(),
    Failed(Failure(title="t", message="m")),
]

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Watched = Callable[[Engine], list[InstanceState]]


def names(states: list[InstanceState]) -> list[str]:
    return [type(state).__name__ for state in states]


def fake(**script: object) -> FakeEngine:
    return FakeEngine(InstanceId("fake"), Script(**script))  # type: ignore[arg-type]  # checked by Script


def loads(engine: FakeEngine) -> list[LoadSpec]:
    return [item for item in engine.history if isinstance(item, LoadSpec)]


async def held(engine: FakeEngine, spec: LoadSpec, until: Until) -> asyncio.Task[object]:
    """Begin a load that waits in the middle."""
    task: asyncio.Task[object] = asyncio.create_task(engine.ensure_ready(spec))
    await until(lambda: isinstance(engine.state, Loading) and engine.state.fraction is not None)
    return task


@given(st.lists(st.sampled_from(ALL_STATES), max_size=12))
def test_a_state_changes_only_along_legal_steps_and_every_change_is_told_once(
    wishes: list[InstanceState],
) -> None:
    cell, told = StateCell(), list[InstanceState]()
    cell.watch(told.append)
    expected: list[InstanceState] = []
    for wish in wishes:
        before = cell.state
        if wish == before:
            cell.set(wish)
        elif type(wish) in LEGAL[type(before)]:
            cell.set(wish)
            expected.append(wish)
        else:
            with pytest.raises(IllegalTransition):
                cell.set(wish)
            assert cell.state == before
    assert told == expected


def test_a_listener_that_raises_or_leaves_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    cell, told = StateCell(), list[InstanceState]()

    def broken(state: InstanceState) -> None:
        raise ValueError(state)

    cell.watch(broken)
    unwatch = cell.watch(told.append)
    cell.set(Starting())
    unwatch()
    unwatch()
    cell.set(Stopping())
    assert told == [Starting()]
    assert "A listener failed" in caplog.text


STEPS = ["load A", "load B", "stop", "crash", "cancel", "release", "hold", "refuse", "accept", "yield"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=25))
def test_no_order_of_events_leads_astray(steps: list[str]) -> None:
    asyncio.run(play(steps))


async def play(steps: list[str]) -> None:
    """Carry out the steps; then an engine must still load, and then stop."""
    engine = fake()
    states: list[InstanceState] = [engine.state]
    engine.watch(states.append)
    calls: list[asyncio.Task[object]] = []
    for step in steps:
        match step:
            case "load A" | "load B":
                calls.append(asyncio.create_task(engine.ensure_ready(A if step == "load A" else B)))
            case "stop":
                calls.append(asyncio.create_task(engine.stop()))
            case "cancel" if calls:
                calls[-1].cancel()
            case _:
                disturb(engine, step)
        for _ in range(3 if step == "yield" else 1):
            await asyncio.sleep(0)
    engine.script = Script()
    engine.released.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*calls, return_exceptions=True)
        info = await engine.ensure_ready(A)
        assert engine.state == Ready(info)
        await engine.stop()
    assert states[-1] == Stopped()
    assert all(type(new) in LEGAL[type(old)] for old, new in itertools.pairwise(states))
    unexpected = [r for r in results if isinstance(r, BaseException) and not is_expected(r)]
    assert unexpected == []


def disturb(engine: FakeEngine, step: str) -> None:
    match step:
        case "crash":
            engine.crash()
        case "release":
            engine.released.set()
        case "hold":
            engine.released.clear()
            engine.script = Script(hold_load=True)
        case "refuse":
            engine.script = Script(refuse_load=Failure(title="No", message="Refused."))
        case "accept":
            engine.script = Script()


def is_expected(error: BaseException) -> bool:
    return isinstance(error, EngineError | asyncio.CancelledError)


async def test_callers_that_want_the_same_model_share_one_load(until: Until) -> None:
    engine = fake(hold_load=True)
    calls = [await held(engine, A, until)] + [asyncio.create_task(engine.ensure_ready(A)) for _ in range(4)]
    engine.released.set()
    infos = await asyncio.gather(*calls)
    assert loads(engine) == [A]
    assert infos == [infos[0]] * 5


async def test_a_load_goes_on_while_one_caller_is_left_and_ends_with_the_last(
    until: Until, watched: Watched
) -> None:
    engine = fake(hold_load=True)
    states = watched(engine)
    first = await held(engine, A, until)
    second = asyncio.create_task(engine.ensure_ready(A))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    assert isinstance(engine.state, Loading)
    second.cancel()
    await asyncio.wait({second})
    assert second.cancelled()
    assert names(states) == ["Starting", "Loading", "Loading", "Stopping", "Stopped"]


async def test_a_load_can_be_wanted_again_right_after_it_was_cancelled(until: Until) -> None:
    engine = fake(hold_load=True)
    first = await held(engine, A, until)
    first.cancel()
    await asyncio.sleep(0)
    engine.released.set()
    info = await engine.ensure_ready(A)
    assert engine.state == Ready(info)
    assert loads(engine) == [A, A]


async def test_another_model_takes_the_place_of_a_load_and_says_so(until: Until) -> None:
    engine = fake(hold_load=True)
    first = await held(engine, A, until)
    engine.released.set()
    info = await engine.ensure_ready(B)
    assert info.n_ctx == 512
    with pytest.raises(EngineError, match="something else was asked for"):
        await first


async def test_a_stop_gives_up_a_load(until: Until, watched: Watched) -> None:
    engine = fake(hold_load=True)
    states = watched(engine)
    first = await held(engine, A, until)
    await engine.stop()
    with pytest.raises(EngineError, match="given up"):
        await first
    assert names(states) == ["Starting", "Loading", "Loading", "Stopping", "Stopped"]


async def test_a_load_after_a_stop_waits_for_its_end(watched: Watched) -> None:
    engine = fake()
    await engine.ensure_ready(A)
    states = watched(engine)
    stop = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    info = await engine.ensure_ready(A)
    await stop
    assert names(states)[:3] == ["Stopping", "Stopped", "Starting"]
    assert engine.state == Ready(info)


async def test_a_crash_while_loading_is_the_failure_of_the_load(until: Until) -> None:
    engine = fake(hold_load=True)
    first = await held(engine, A, until)
    engine.crash()
    with pytest.raises(EngineError, match="killed by signal 9"):
        await first
    assert isinstance(engine.state, Failed)
    assert "killed by signal 9" in engine.state.failure.message


@pytest.mark.parametrize("moment", range(12))
async def test_a_crash_at_any_moment_of_a_restart_does_no_harm(moment: int) -> None:
    engine = fake()
    await engine.ensure_ready(A)
    call = asyncio.create_task(engine.ensure_ready(B))
    for _ in range(moment):
        await asyncio.sleep(0)
    engine.crash()
    results = await asyncio.gather(call, return_exceptions=True)
    assert [r for r in results if isinstance(r, BaseException) and not is_expected(r)] == []
    info = await engine.ensure_ready(B)
    assert engine.state == Ready(info)


async def test_a_host_that_dies_with_its_last_word_is_never_ready(watched: Watched) -> None:
    class Dying(FakeEngine):
        async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
            self.watch(lambda state: self.crash() if last_step(state) else None)
            return await super().ensure_ready(spec)

    def last_step(state: InstanceState) -> bool:
        return isinstance(state, Loading) and state.fraction == 1.0

    engine = Dying(InstanceId("fake"))
    states = watched(engine)
    with pytest.raises(EngineError, match="killed by signal 9"):
        await engine.ensure_ready(A)
    assert names(states)[-2:] == ["Loading", "Failed"]


async def test_stopping_what_failed_forgets_the_failure() -> None:
    engine = fake(refuse_load=Failure(title="No", message="Refused."))
    with pytest.raises(EngineError, match="Refused"):
        await engine.ensure_ready(A)
    await engine.stop()
    assert engine.state == Stopped()
