"""What a model would take where: predictions for the loop that draws, dry runs for those who want it exact.

`prepare` reads a model once; the prediction itself is arithmetic on what it returns and needs no service.
Exact figures come from dry runs in a process of their own; what they tell about compute buffers is kept, so
that the next prediction is exact as well.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import GpuSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import (
    HOST_NAME,
    Device,
    ExtraFiles,
    MemoryEstimate,
    ModelShape,
    predict,
    shape_of,
)
from kobold_tui.domain.memory.levels import ComputeLevels
from kobold_tui.domain.model import Header
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import free_by_key, key_of

KEPT_MODELS = 64


class Runner(Protocol):
    """Dry runs, one after another; a newer one takes the place of those that wait."""

    async def measure(
        self,
        model: LoadSpec,
        options: LoadOptions | None = None,
        cards: Sequence[VirtualCard] | None = None,
        *,
        replaceable: bool = True,
    ) -> MemoryEstimate:
        """Return what loading would take, on virtual cards or on those of this machine."""
        ...

    async def capabilities(self) -> PlannerCapabilities:
        """Return what dry runs can tell here."""
        ...

    async def close(self) -> None:
        """End all processes."""
        ...


class Overheads(Protocol):
    """What loads took beside their buffers, by card; every call may block."""

    def of(self, card: str) -> int:
        """Return the bytes to expect on a card; 0 where none was learned."""
        ...

    def learn(self, card: str, n_bytes: int) -> None:
        """Take note of what a load took on a card beside its buffers."""
        ...


class TuningModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was read for planning; `estimate` is arithmetic and takes a fraction of a millisecond."""

    spec: LoadSpec
    shape: ModelShape
    files: ExtraFiles = ExtraFiles()

    def estimate(
        self, options: LoadOptions, devices: Sequence[Device], levels: ComputeLevels | None = None
    ) -> MemoryEstimate:
        """Return what loading with these options would take from these devices."""
        return predict(
            self.shape,
            options,
            devices,
            levels=levels,
            files=self.files,
            embedding=self.spec.embedding,
        )


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
    ) -> None:
        super().__init__()
        self._read_header = read_header
        self._files = files
        self._telemetry = telemetry
        self._runner = runner
        self._overheads = overheads
        self._can_offload = can_offload
        self._reserve_bytes = reserve_bytes
        self._shapes: dict[tuple[str, object], ModelShape] = {}

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
        exact = await self._runner.measure(model.spec, options, cards, replaceable=replaceable)
        return exact if devices is None else with_devices(exact, devices)

    async def capabilities(self) -> PlannerCapabilities:
        """Return what dry runs can tell on this machine."""
        self.check_loop()
        return await self._runner.capabilities()

    async def learn(self, instance_id: InstanceId, estimate: MemoryEstimate) -> None:
        """Compare a load with its prediction, and remember what each card gave beside the buffers."""
        self.check_loop()
        telemetry = await self._telemetry()
        await self._files.call(self._learn, instance_id, estimate, telemetry)

    async def close(self) -> None:
        """End the processes of dry runs."""
        await self._runner.close()

    def _prepared(self, spec: LoadSpec) -> TuningModel:
        path = Path(spec.path).expanduser()
        return TuningModel(spec=spec, shape=self._shape(path), files=_extra_files(spec.options))

    def _shape(self, path: Path) -> ModelShape:
        key = (str(path), _stamp(path))
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


def virtual_cards(devices: Sequence[Device]) -> tuple[VirtualCard, ...]:
    """Return cards to plan for that are like the cards among `devices`."""
    return tuple(
        VirtualCard(name=device.name, free_bytes=device.free_bytes or 0, total_bytes=device.total_bytes or 0)
        for device in devices
        if not device.is_host
    )


def with_devices(exact: MemoryEstimate, devices: Sequence[Device]) -> MemoryEstimate:
    """Return a dry run's figures with what is known of the devices: free memory, overhead, reserve."""
    known = {device.name: device for device in devices}
    rows = (
        msgspec.structs.replace(
            row,
            free_bytes=device.free_bytes,
            overhead_bytes=max(row.overhead_bytes, device.overhead_bytes if row.total_bytes else 0),
            reserve_bytes=device.reserve_bytes,
            capacity_bytes=device.total_bytes,
        )
        if (device := known.get(row.name))
        else row
        for row in exact.devices
    )
    return msgspec.structs.replace(exact, devices=tuple(rows))


def _extra_files(options: LoadOptions) -> ExtraFiles:
    return ExtraFiles(
        projector_bytes=_size(options.mmproj) if options.mmproj else 0,
        adapters_bytes=sum(_size(adapter.path) for adapter in options.lora),
    )


def _size(path: str) -> int:
    try:
        return Path(path).expanduser().stat().st_size
    except OSError:
        return 0


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - the same call as the catalogue's
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
