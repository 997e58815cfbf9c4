"""Engines to test, and conditions to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec
import psutil
import pytest

from kobold_tui.domain.generation import Finished, GenerateRequest, TextDelta
from kobold_tui.domain.instance import InstanceId, InstanceState, LoadSpec
from kobold_tui.engine.connection import Deadlines
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.process import ProcessEngine
from kobold_tui.engine.protocol import Engine
from kobold_tui.engine.script import Script
from kobold_tui.engine.spawn import Launch

PATIENCE_SECONDS = 20.0
"""No test waits for this long unless something is broken."""

MakeScripted = Callable[..., ProcessEngine]
Kind = Literal["fake", "scripted", "llama"]
Until = Callable[[Callable[[], bool]], Awaitable[None]]
Collect = Callable[[Engine, GenerateRequest], Awaitable[tuple[str, Finished]]]
Watched = Callable[[Engine], list[InstanceState]]


def scripted_launch(script: Script) -> Launch:
    return Launch(arguments=("--scripted", msgspec.json.encode(script).decode()))


@pytest.fixture
async def make_scripted() -> AsyncIterator[MakeScripted]:
    """Make engines whose worker process follows a script; all are stopped afterwards."""
    engines: list[ProcessEngine] = []

    def make(
        script: Script, *, deadlines: Deadlines | None = None, log_file: Path | None = None
    ) -> ProcessEngine:
        engine = ProcessEngine(
            InstanceId(f"scripted {len(engines)}"),
            launch=scripted_launch(script),
            log_file=log_file,
            deadlines=deadlines or Deadlines(),
        )
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        await engine.stop()


@pytest.fixture
def spec(tmp_path: Path) -> LoadSpec:
    """A model file that exists."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return LoadSpec(path=str(path))


@pytest.fixture
def until() -> Until:
    """Wait for a condition: `await until(lambda: ...)`."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - other processes and threads set no event of ours
                await asyncio.sleep(0.002)

    return wait


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Whether a process is no more, not even as a zombie of ours."""
    return lambda pid: not psutil.pid_exists(pid)


@pytest.fixture
def watched() -> Watched:
    """Record the states of an engine, from now on."""

    def watch(engine: Engine) -> list[InstanceState]:
        states: list[InstanceState] = []
        engine.watch(states.append)
        return states

    return watch


@pytest.fixture
def collect() -> Collect:
    """Read a whole answer: `text, finished = await collect(engine, request)`."""

    async def read(engine: Engine, request: GenerateRequest) -> tuple[str, Finished]:
        text, ends = [], []
        async for event in engine.generate(request):
            match event:
                case TextDelta():
                    text.append(event.text)
                case Finished():
                    ends.append(event)
        assert len(ends) == 1
        return "".join(text), ends[0]

    return read


@pytest.fixture(params=["fake", "scripted", "llama"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """The three engines that the contract is tried on."""
    kind: Kind = request.param
    return kind


@pytest.fixture
def model_path(kind: Kind, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that an engine of this kind loads."""
    if kind == "llama":
        model: Path = request.getfixturevalue("tiny_llama")
        return model
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return path


@pytest.fixture
async def engine(kind: Kind) -> AsyncIterator[Engine]:
    """An engine of this kind; asked for "endless", the stand-ins say more than anybody reads."""
    script = Script(check_path=True, replies={"endless": "on and on"}, repeat=4000)
    engine: Engine
    match kind:
        case "fake":
            engine = FakeEngine(InstanceId("x"), script)
        case "scripted":
            engine = ProcessEngine(InstanceId("x"), launch=scripted_launch(script))
        case "llama":
            engine = ProcessEngine(InstanceId("x"))
    yield engine
    await engine.stop()
