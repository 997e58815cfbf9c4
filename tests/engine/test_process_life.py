"""How a worker process is run, watched and ended: bounded, by force if need be, and without a trace."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import Finished, GenerateRequest, TextDelta
from kobold_tui.domain.instance import InstanceId, InstanceState, Loading, LoadSpec, Stopped
from kobold_tui.engine.connection import Deadlines
from kobold_tui.engine.process import ProcessEngine, probe_worker
from kobold_tui.engine.protocol import Engine
from kobold_tui.engine.script import Fault, FaultKind, Script
from kobold_tui.engine.spawn import Launch

ASK = GenerateRequest(prompt="one two three four five six seven eight")
HASTY = Deadlines(unload_seconds=0.05, terminate_seconds=0.05)

MakeScripted = Callable[..., ProcessEngine]
Until = Callable[[Callable[[], bool]], Awaitable[None]]
Watched = Callable[[Engine], list[InstanceState]]
Collect = Callable[[Engine, GenerateRequest], Awaitable[tuple[str, Finished]]]
Gone = Callable[[int], bool]


def pid_of(engine: Engine) -> int:
    assert engine.pid is not None
    return engine.pid


@pytest.mark.parametrize("kind", ["hang", "freeze"])
async def test_a_worker_that_hangs_in_an_answer_is_stopped_by_force(
    kind: FaultKind, make_scripted: MakeScripted, spec: LoadSpec, gone: Gone, until: Until
) -> None:
    fault = Fault(kind=kind, output="stuck\n")
    engine = make_scripted(Script(at_answer=fault, after_tokens=2, ignore_terminate=True), deadlines=HASTY)
    await engine.ensure_ready(spec)
    pid = pid_of(engine)
    answer = engine.generate(ASK)
    assert type(await anext(answer)) is TextDelta
    await until(lambda: "stuck" in engine.log_tail)
    await engine.stop()
    assert type(engine.state) is Stopped
    assert gone(pid)
    with pytest.raises(EngineError, match="unloaded"):
        async for _ in answer:
            pass


async def test_a_worker_that_hangs_while_loading_is_stopped_by_force(
    make_scripted: MakeScripted, spec: LoadSpec, until: Until, gone: Gone
) -> None:
    engine = make_scripted(
        Script(at_load=Fault(kind="hang"), ignore_terminate=True, load_steps=1), deadlines=HASTY
    )
    call = asyncio.create_task(engine.ensure_ready(spec))
    await until(lambda: isinstance(engine.state, Loading) and engine.state.fraction == 1.0)
    pid = pid_of(engine)
    await engine.stop()
    assert gone(pid)
    with pytest.raises(EngineError, match="given up"):
        await call


async def test_a_worker_that_does_not_unload_is_terminated(
    make_scripted: MakeScripted, spec: LoadSpec, gone: Gone
) -> None:
    engine = make_scripted(Script(ignore_unload=True), deadlines=Deadlines(unload_seconds=0.05))
    await engine.ensure_ready(spec)
    pid = pid_of(engine)
    await engine.stop()
    assert gone(pid)


async def test_progress_arrives_while_the_load_goes_on_and_a_cancel_ends_the_process(
    make_scripted: MakeScripted, spec: LoadSpec, watched: Watched, until: Until, gone: Gone
) -> None:
    engine = make_scripted(Script(hold_load=True, load_steps=4))
    states = watched(engine)
    call = asyncio.create_task(engine.ensure_ready(spec))
    await until(lambda: Loading(phase="weights", fraction=0.25) in states)
    pid = pid_of(engine)
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()
    assert [type(state).__name__ for state in states[-2:]] == ["Stopping", "Stopped"]
    assert gone(pid)


async def test_a_flood_of_noise_is_bounded_and_harmless(
    make_scripted: MakeScripted, spec: LoadSpec, collect: Collect, tmp_path: Path
) -> None:
    noise = b"\x1b[31mred\x1b]0;title\x07 \xff\xfe" + b"x" * 5000 + b"\n"
    log_file = tmp_path / "model.log"
    engine = make_scripted(Script(noise=noise, noise_repeat=1000), log_file=log_file)
    await engine.ensure_ready(spec)
    text, _ = await collect(engine, ASK)
    assert text == ASK.prompt
    assert 0 < sum(len(line.encode()) for line in engine.log_tail) <= 256 * 1024
    assert all(line.startswith("red \ufffd\ufffdxxx") and len(line) < 1100 for line in engine.log_tail)
    assert log_file.stat().st_mode & 0o777 == 0o600


async def test_many_lives_leave_no_descriptor_and_no_thread(
    make_scripted: MakeScripted, spec: LoadSpec, until: Until, collect: Collect
) -> None:
    def descriptors() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    engine = make_scripted(Script(at_answer=Fault(kind="kill")))
    await engine.ensure_ready(spec)
    await engine.stop()
    before, threads = descriptors(), threading.active_count()
    for _ in range(3):
        await engine.ensure_ready(spec)
        await engine.stop()
        await engine.ensure_ready(spec)
        with pytest.raises(EngineError, match="killed"):
            await collect(engine, ASK)
    await until(lambda: descriptors() <= before and threading.active_count() <= threads)


async def test_text_that_is_no_unicode_is_refused_and_the_engine_lives_on(
    make_scripted: MakeScripted, spec: LoadSpec
) -> None:
    engine = make_scripted(Script())
    await engine.ensure_ready(spec)
    with pytest.raises(EngineError, match="cannot be sent"):
        await engine.tokenize("\udcff")
    assert await engine.tokenize("a") == (97,)


async def test_a_probe_tells_the_build_and_leaves_no_process(make_scripted: MakeScripted, gone: Gone) -> None:
    hello = await probe_worker(Launch(arguments=("--scripted", "{}")))
    assert hello.devices == ("CPU",)
    assert gone(hello.pid)


async def test_a_worker_runs_apart_from_the_terminal_and_dies_first_when_memory_runs_out(
    spec: LoadSpec, until: Until
) -> None:
    idle = Launch(command=(sys.executable, "-S", "-c", "import signal; signal.pause()"))
    engine = ProcessEngine(InstanceId("x"), launch=idle, deadlines=HASTY)
    call = asyncio.create_task(engine.ensure_ready(spec))
    await until(lambda: engine.pid is not None)
    pid = pid_of(engine)
    assert os.getsid(pid) == pid
    if sys.platform == "linux":
        process = Path(f"/proc/{pid}")
        await until(lambda: (process / "oom_score_adj").read_text().strip() == "900")
        await until(lambda: b"GGML_NO_BACKTRACE=1\0" in (process / "environ").read_bytes())
        assert b"CUDA_DEVICE_ORDER=PCI_BUS_ID\0" in (process / "environ").read_bytes()
        assert (process / "fd/0").readlink() == Path("/dev/null")
    await engine.stop()
    with pytest.raises(EngineError, match="given up"):
        await call
