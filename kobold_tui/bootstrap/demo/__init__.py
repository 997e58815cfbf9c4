"""The demonstration: the whole program over made-up cards and a scripted model, for anybody to try.

It needs no model, no card and no network. Everything that it writes goes into a folder of its own that is
deleted at the end; the user's settings and conversations are neither read nor touched.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from kobold_tui.bootstrap.demo.engine import DemoEngine, Placed
from kobold_tui.bootstrap.demo.models import CHAT, EMBEDDING, make_models
from kobold_tui.bootstrap.demo.telemetry import DemoTelemetry
from kobold_tui.bootstrap.outside import Outside
from kobold_tui.catalogue.stores import FolderStore
from kobold_tui.domain.instance import InstanceId
from kobold_tui.engine.pool import EnginePool
from kobold_tui.hardware.cuda_build import BuildPlan
from kobold_tui.hardware.synthetic import N_CARDS, SyntheticMachine
from kobold_tui.services.loading import LoadingService, instance_name
from kobold_tui.services.machine import MachineService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.registry import Services
from kobold_tui.storage.paths import Paths

Clock = Callable[[], float]
LOAD_SECONDS, TOKENS_A_SECOND = 3.0, 60.0


class Tempo(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the scripted models are; zero seconds means at once."""

    load_seconds: float = LOAD_SECONDS
    token_seconds: float = 1 / TOKENS_A_SECOND


@functools.cache
def demo_paths() -> Paths:
    """Return folders of this run alone, with the models in them; they are deleted at the end."""
    home = Path(tempfile.mkdtemp(prefix="kobold-tui-demo-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    paths = Paths.below(home)
    make_models(paths.models_dir)
    return paths


def demo_options(options: StartOptions) -> StartOptions:
    """Return options with which a model loads at once, unless another start was asked for."""
    if options.preset or options.model:
        return options
    return msgspec.structs.replace(options, model=CHAT.name, load=True)


def demo_outside(
    paths: Paths, interval_seconds: float, clock: Clock = time.monotonic, tempo: Tempo | None = None
) -> Outside:
    """Return made-up parts; with a clock that stands still all figures do."""
    placed = Placed()
    pool = EnginePool(lambda instance_id: _engine(instance_id, placed, tempo or Tempo()))
    loading = LoadingService(pool)
    pool.watch(lambda _: placed.note(loading.instances()))
    machine = SyntheticMachine(placed.loads, clock)
    return Outside(
        loading=loading,
        telemetry=DemoTelemetry(machine, interval_seconds),
        machine=MachineService(lambda: True, _no_build, OwnThread("build"), _accelerators),
        stores=(FolderStore(paths.models_dir, "demonstration"),),
        accelerators=_accelerators,
    )


@contextlib.asynccontextmanager
async def second_model(services: Services) -> AsyncIterator[None]:
    """Load a model for embeddings beside what the user loads, so that the cards have two owners."""
    task = asyncio.create_task(_load_second(services))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _load_second(services: Services) -> None:
    launch = await services.launch.resolve(str(services.paths.models_dir / EMBEDDING.file_name))
    on_last_card = msgspec.structs.replace(launch.spec.options, split_mode="none", main_gpu=N_CARDS - 1)
    spec = msgspec.structs.replace(launch.spec, options=on_last_card)
    predicted = await services.tuning.predict(spec)
    await services.loading.load(spec, instance_name(spec), estimate=predicted)


def _engine(instance_id: InstanceId, placed: Placed, tempo: Tempo) -> DemoEngine:
    engine = DemoEngine(instance_id, placed.next_pid(), tempo.load_seconds, tempo.token_seconds)
    placed.add(engine)
    return engine


def _accelerators() -> tuple[str, ...]:
    return ("CUDA",)


def _no_build() -> BuildPlan:
    return BuildPlan("cpu", "", "", "This is the demonstration.", "")
