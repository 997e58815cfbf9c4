"""Tries placements of a model one after another and remembers how fast they were.

Every placement has a process of its own, which is gone when the next one begins. What cannot be loaded is a
result like any other. Figures are kept by model and machine, so that they can be shown where one plans.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from kobold_tui.domain.benchmark import (
    BenchEvent,
    BenchRun,
    BenchSettings,
    Expected,
    MachineIdentity,
    Measurement,
    ModelIdentity,
    expected,
    with_placement,
)
from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import PresetFile
from kobold_tui.services.benchmark_plan import BenchPlan, BenchWish
from kobold_tui.services.benchmark_session import BenchSession
from kobold_tui.services.benchmark_trial import Instruments
from kobold_tui.services.launch import Launch
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread

LONGEST_AUTO_CONTEXT = 8192
"""The most tokens of a context that nobody chose; see `LoadOptions.n_ctx`."""

Best = Callable[[LoadSpec], Awaitable[LoadOptions | None]]


class Results(Protocol):
    """Where measurements are kept; every call may block."""

    def load(self, model: ModelIdentity) -> tuple[Measurement, ...]:
        """Return what was measured of a model, the oldest first."""
        ...

    def add(self, model: ModelIdentity, measurement: Measurement) -> None:
        """Keep a measurement; it takes the place of an older one of the same placement."""
        ...


class PresetFiles(Protocol):
    """Where presets are kept."""

    async def read(self, reference: str) -> PresetFile:
        """Return the preset of a name. Raises KoboldError where there is none."""
        ...

    async def save(
        self, preset: Preset, known: PresetFile | None = None, *, overwrite: bool = False
    ) -> PresetFile:
        """Write a preset, in place of `known`."""
        ...

    async def save_copy(self, preset: Preset, name: str = "") -> PresetFile:
        """Write a preset under `name`, or a free name like it."""
        ...


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The machine as far as speed depends on it, and who proposes and keeps placements.

    `best` is the placement search; it returns None where it has nothing to say.
    """

    cpu_name: Callable[[], str]
    n_cpus: int
    best: Best
    presets: PresetFiles
    clock: Callable[[], float] = time.time


class Speeds(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one model on this machine, to be asked without waiting."""

    runs: tuple[BenchRun, ...] = ()

    def expected(self, options: LoadOptions) -> Expected | None:
        """Return the speed of a placement; None where nothing alike was measured."""
        return expected(self.runs, options)


class BenchmarkService(LoopBound):
    """Runs one benchmark at a time; files are read and written in `thread`."""

    def __init__(
        self, instruments: Instruments, surroundings: Surroundings, results: Results, thread: OwnThread
    ) -> None:
        super().__init__()
        self._instruments = instruments
        self._surroundings = surroundings
        self._results = results
        self._thread = thread
        self._turn = asyncio.Lock()
        self._machine: MachineIdentity | None = None

    async def run(
        self, launch: Launch, settings: BenchSettings | None = None, wish: BenchWish | None = None
    ) -> AsyncGenerator[BenchEvent, None]:
        """Measure placements of a model; yields progress, and each run as it ends.

        Closing the generator ends the benchmark and unloads the model. A second one waits for its turn: two
        would slow each other down. Raises UsageError for what cannot be measured.
        """
        self.check_loop()
        settings = settings or BenchSettings()
        check_measurable(launch, settings)
        async with self._turn:
            session = await self._begin(launch, settings, wish or BenchWish())
            async with aclosing(session.run()) as events:
                async for event in events:
                    yield event

    async def speeds(self, model: ModelEntry) -> Speeds:
        """Return what was measured of a model on this machine. Raises KoboldError for a broken file."""
        self.check_loop()
        machine = await self.machine()
        found = await self._thread.call(self._results.load, identity_of(model))
        return Speeds(runs=tuple(each.run for each in found if each.machine == machine))

    async def expected(self, model: ModelEntry, options: LoadOptions) -> Expected | None:
        """Return the speed that earlier measurements let expect, None where nothing alike was measured."""
        return (await self.speeds(model)).expected(options)

    async def save(
        self, preset: Preset, run: BenchRun, name: str = "", *, overwrite: bool = False
    ) -> PresetFile:
        """Write a run's placement into the file of the preset; with a `name`, into a copy of that name.

        What has no file yet gets one. Raises PresetConflict where comments would be lost, unless `overwrite`.
        """
        self.check_loop()
        presets = self._surroundings.presets
        stored: PresetFile | None = None
        with contextlib.suppress(KoboldError):
            stored = await presets.read(preset.name)
        if name:
            return await presets.save_copy(with_placement(preset, run), name)
        if stored is None:
            return await presets.save(with_placement(preset, run))
        if stored.preset.model != preset.model:  # another model's, by chance of the same name
            return await presets.save_copy(with_placement(preset, run))
        return await presets.save(with_placement(stored.preset, run), stored, overwrite=overwrite)

    async def machine(self) -> MachineIdentity:
        """Return what figures of this machine are kept under."""
        self.check_loop()
        if self._machine is None:
            telemetry = await self._instruments.telemetry()
            cpu = await self._thread.call(self._surroundings.cpu_name)
            self._machine = MachineIdentity(
                cpu=cpu,
                n_cpus=self._surroundings.n_cpus,
                gpus=tuple(gpu.name for gpu in telemetry.gpus if gpu.is_visible),
                driver=telemetry.driver or "",
            )
        return self._machine

    async def _begin(self, launch: Launch, settings: BenchSettings, wish: BenchWish) -> BenchSession:
        has_gpu = any(gpu.is_visible for gpu in (await self._instruments.telemetry()).gpus)
        best = await self._surroundings.best(launch.spec) if has_gpu and wish.layers_are_open else None
        plan = BenchPlan(
            launch.preset.load,
            wish,
            settings,
            n_layer=launch.model.n_layer,
            has_gpu=has_gpu,
            n_cpus=self._surroundings.n_cpus,
            best=best,
        )
        return BenchSession(self._instruments, launch.spec, settings, plan, partial(self._kept, launch.model))

    async def _kept(self, model: ModelEntry, run: BenchRun) -> BenchRun:
        """Store a run; where that fails the run says so, and stands all the same."""
        if run.seconds is None:
            return run
        try:
            measurement = Measurement(
                machine=await self.machine(), taken_at=self._surroundings.clock(), run=run
            )
            await self._thread.call(self._results.add, identity_of(model), measurement)
        except KoboldError as error:
            note = f"Not kept for later: {error.message}"
            return msgspec.structs.replace(run, notes=(*run.notes, note))
        return run


def identity_of(model: ModelEntry) -> ModelIdentity:
    """Return what figures of a model are kept under."""
    return ModelIdentity(
        name=Path(model.path).name, size_bytes=model.size_bytes, modified_at=model.modified_at
    )


def check_measurable(launch: Launch, settings: BenchSettings) -> None:
    """Raise UsageError for what no benchmark can measure."""
    model, options = launch.model, launch.preset.load
    if launch.spec.endpoint is not None or launch.preset.endpoint:
        raise UsageError(
            "Not a local model", f"{launch.preset.name} runs on another machine.", "Name a model file."
        )
    if model.kind in {"embedding", "reranker", "projector", "adapter", "vocabulary", "unsupported"}:
        raise UsageError(
            "Not a chat model",
            f"{model.name} is of the kind {model.kind}, which writes no text.",
            "`kobold-tui models` lists what there is.",
        )
    trained = min(model.n_ctx_train or LONGEST_AUTO_CONTEXT, LONGEST_AUTO_CONTEXT)
    n_ctx = trained if options.n_ctx == "auto" else options.n_ctx
    if settings.n_prompt + settings.n_gen > n_ctx:
        raise UsageError(
            "Context too small",
            f"{settings.n_prompt} + {settings.n_gen} tokens do not go into a context of {n_ctx}.",
            "Measure with fewer tokens, or choose a larger context in the preset.",
        )
