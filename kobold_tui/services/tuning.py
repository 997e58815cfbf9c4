"""What a model would take where: predictions for the loop that draws, dry runs for those who want it exact.

`prepare` reads a model once; the prediction itself is arithmetic on what it returns and needs no service.
Exact figures come from dry runs in a process of their own; what they tell about compute buffers is kept, so
that the next prediction is exact as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from kobold_tui.domain.errors import EngineError, KoboldError
from kobold_tui.domain.fit import Placement, best_placement
from kobold_tui.domain.gpu import GpuSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import (
    HOST_NAME,
    ComputeLevels,
    Device,
    MemoryEstimate,
    ModelShape,
    shape_of,
)
from kobold_tui.domain.model import Header
from kobold_tui.domain.virtual_card import PlannerCapabilities
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import free_by_key, key_of
from kobold_tui.services.tuning_model import (
    Stamp,
    TuningModel,
    extra_files,
    file_stamp,
    hardware_from_text,
    limited,
    virtual_cards,
    with_predicted,
)
from kobold_tui.services.tuning_runs import DryRuns, NoResults, Results, Runner
from kobold_tui.services.tuning_search import confirmed_best, confirmed_context, without_cards

__all__ = [
    "Overheads",
    "Runner",
    "TuningModel",
    "TuningService",
    "hardware_from_text",
    "virtual_cards",
    "with_predicted",
]

KEPT_MODELS = 64
DECIDE_SECONDS = 10.0
"""How long dry runs may hold up a load that leaves its placement open; then the prediction decides."""


class Overheads(Protocol):
    """What loads took beside their buffers, by card; every call may block."""

    def of(self, card: str) -> int:
        """Return the bytes to expect on a card; 0 where none was learned."""
        ...

    def learn(self, card: str, n_bytes: int) -> None:
        """Take note of what a load took on a card beside its buffers."""
        ...


class TuningService(LoopBound):
    """Joins header, hardware and dry runs; all waiting is for threads and processes of their own."""

    def __init__(  # noqa: PLR0913 - one argument for each thing that it joins
        self,
        read_header: Callable[[Path], Header],
        files: OwnThread,
        telemetry: Callable[[], Awaitable[Telemetry]],
        runner: Runner,
        overheads: Overheads,
        *,
        can_offload: Callable[[], bool],
        reserve_bytes: int = 0,
        results: Results | None = None,
        library: Callable[[], str] = str,
        decide_seconds: float = DECIDE_SECONDS,
    ) -> None:
        super().__init__()
        self._read_header = read_header
        self._files = files
        self._telemetry = telemetry
        self._runs = DryRuns(runner, results or NoResults(), files, library)
        self._overheads = overheads
        self._can_offload = can_offload
        self._reserve_bytes = reserve_bytes
        self._decide_seconds = decide_seconds
        self._shapes: dict[tuple[str, Stamp | None], ModelShape] = {}

    async def prepare(self, spec: LoadSpec) -> TuningModel:
        """Read what is needed to plan for a model. Raises ModelFileError."""
        self.check_loop()
        return await self._files.call(self._prepared, spec)

    async def devices(
        self, leaving: InstanceId | None = None, reserve_bytes: int | None = None
    ) -> tuple[Device, ...]:
        """Return RAM and the cards that a load would go to, with what is free of them.

        What `leaving` holds counts as free. A build that cannot use cards has none.
        """
        self.check_loop()
        telemetry = await self._telemetry()
        reserve = self._reserve_bytes if reserve_bytes is None else reserve_bytes
        return await self._files.call(self._devices, telemetry, leaving, reserve)

    async def predict(self, spec: LoadSpec) -> MemoryEstimate | None:
        """Return what a load would take now; None where that cannot be told."""
        self.check_loop()
        try:
            model = await self.prepare(spec)
        except KoboldError:
            return None
        estimate = model.estimate(spec.options, await self.devices())
        return estimate if estimate.is_supported else None

    async def confirm(
        self,
        model: TuningModel,
        options: LoadOptions,
        devices: Sequence[Device] | None = None,
        *,
        replaceable: bool = True,
    ) -> MemoryEstimate:
        """Return exact figures by a dry run: on cards like `devices`, or on those of this machine.

        Raises EngineError where the model would not load so, `SupersededError` where a newer one came.
        """
        self.check_loop()
        cards = None if devices is None else virtual_cards(devices)
        exact = await self._runs.measure(model, options, cards, replaceable=replaceable)
        return exact if devices is None else with_predicted(exact, model.estimate(options, devices))

    async def calibrate(
        self, model: TuningModel, options: LoadOptions, devices: Sequence[Device]
    ) -> ComputeLevels:
        """Return what makes predictions of this setting exact, learned by at most six dry runs.

        Without virtual cards, or where dry runs fail, it is what is known so far.
        """
        self.check_loop()
        return await self._runs.calibrate(model, options, devices)

    async def best(
        self,
        model: TuningModel,
        options: LoadOptions,
        devices: Sequence[Device],
        levels: ComputeLevels | None = None,
    ) -> Placement:
        """Return the best placement, confirmed by dry runs where these work."""
        self.check_loop()
        confirm = partial(self._confirmed, model, devices)
        return await confirmed_best(model, options, devices, confirm, levels)

    async def largest_context(
        self,
        model: TuningModel,
        options: LoadOptions,
        devices: Sequence[Device],
        levels: ComputeLevels | None = None,
    ) -> Placement:
        """Return the placement of `options` with the largest context that fits, confirmed by dry runs."""
        self.check_loop()
        confirm = partial(self._confirmed, model, devices)
        return await confirmed_context(model, options, devices, confirm, levels)

    async def decide(self, spec: LoadSpec, leaving: InstanceId | None = None) -> LoadSpec:
        """Return `spec` with `auto` layers as the best placement; what `leaving` holds counts as free.

        Without a card that can be used, and where nothing can be told, it stays as it is.
        """
        self.check_loop()
        options = spec.options
        if spec.endpoint is not None or options.n_gpu_layers != "auto" or options.is_cpu_only:
            return spec
        try:
            model = await self.prepare(spec)
        except KoboldError:
            return spec  # loading will say what is wrong with the file
        devices = limited(await self.devices(leaving, spec.reserve_bytes), spec.card_limit_bytes)
        if all(device.is_host for device in devices):
            return spec
        found = await self._best_in_time(model, devices)
        if not (found.estimate.is_supported or found.estimate.exact):
            return spec
        return msgspec.structs.replace(spec, options=found.options)

    async def propose(self, spec: LoadSpec) -> LoadOptions | None:
        """Return the best placement of a model here, whatever its layers are; None where none is better."""
        opened = msgspec.structs.replace(spec.options, n_gpu_layers="auto")
        decided = await self.decide(msgspec.structs.replace(spec, options=opened))
        return None if decided.options == opened else decided.options

    async def _best_in_time(self, model: TuningModel, devices: Sequence[Device]) -> Placement:
        options = model.spec.options
        try:
            async with asyncio.timeout(self._decide_seconds):
                return await self.best(model, options, devices)
        except TimeoutError:
            found = best_placement(model.shape, options, devices, files=model.files)
            return without_cards(model, found, devices)

    async def capabilities(self) -> PlannerCapabilities:
        """Return what dry runs can tell on this machine."""
        self.check_loop()
        return await self._runs.capabilities()

    async def learn(self, instance_id: InstanceId, estimate: MemoryEstimate) -> None:
        """Compare a load with its prediction, and remember what each card gave beside the buffers."""
        self.check_loop()
        telemetry = await self._telemetry()
        await self._files.call(self._learn, instance_id, estimate, telemetry)

    async def close(self) -> None:
        """End the processes of dry runs."""
        await self._runs.close()

    async def _confirmed(
        self, model: TuningModel, devices: Sequence[Device], options: LoadOptions
    ) -> MemoryEstimate:
        if options.is_cpu_only or all(device.is_host for device in devices):
            raise EngineError("No cards", "Without cards there is nothing that a dry run could tell.")
        return await self.confirm(model, options, devices, replaceable=False)

    def _prepared(self, spec: LoadSpec) -> TuningModel:
        path = Path(spec.path).expanduser()
        stamp = file_stamp(path)
        return TuningModel(
            spec=spec, shape=self._shape(path, stamp), files=extra_files(spec.options), stamp=stamp
        )

    def _shape(self, path: Path, stamp: Stamp | None) -> ModelShape:
        key = (str(path), stamp)
        shape = self._shapes.pop(key, None) or shape_of(self._read_header(path))
        if len(self._shapes) >= KEPT_MODELS:
            self._shapes.pop(next(iter(self._shapes)))
        self._shapes[key] = shape
        return shape

    def _devices(
        self, telemetry: Telemetry, leaving: InstanceId | None, reserve_bytes: int
    ) -> tuple[Device, ...]:
        free = free_by_key(telemetry, leaving)
        host = Device(
            name=HOST_NAME,
            free_bytes=free[HOST_NAME],
            total_bytes=telemetry.host.memory_total_bytes,
            is_host=True,
            backend="CPU",
        )
        if not self._can_offload():
            return (host,)
        cards = (
            Device(
                name=f"CUDA{gpu.index}",
                free_bytes=free.get(key_of(gpu)),
                total_bytes=gpu.memory_total_bytes,
                overhead_bytes=self._overheads.of(overhead_key(gpu, telemetry)),
                reserve_bytes=reserve_bytes,
            )
            for gpu in telemetry.gpus
            if gpu.is_visible and gpu.stale_since is None
        )
        return (host, *cards)

    def _learn(self, instance_id: InstanceId, estimate: MemoryEstimate, telemetry: Telemetry) -> None:
        by_name = {device.name: device for device in estimate.cards}
        for gpu in telemetry.gpus:
            device = by_name.get(f"CUDA{gpu.index}")
            held = [p.memory_bytes for p in gpu.processes if p.instance == instance_id]
            if device is not None and device.total_bytes and held and held[0] is not None:
                buffers = device.total_bytes - device.overhead_bytes
                self._overheads.learn(overhead_key(gpu, telemetry), held[0] - buffers)


def overhead_key(gpu: GpuSnapshot, telemetry: Telemetry) -> str:
    """Return what a card's overhead depends on: its kind and its driver."""
    return f"{gpu.name} | {telemetry.driver or '-'}"
