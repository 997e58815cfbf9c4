"""The workbench's half of tuning: keeps the estimate of the model under the cursor up to date.

Whatever changes, options or hardware, the new estimate stands at once, by arithmetic in this loop. Dry runs
and the search for the best placement follow a moment after the last change; only the newest count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.fit import Placement
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import ComputeLevels, Device, MemoryEstimate
from kobold_tui.domain.model import ModelEntry
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.launch import Launch
from kobold_tui.services.loading import is_live
from kobold_tui.services.registry import Services
from kobold_tui.services.tuning import TuningModel, hardware_from_text
from kobold_tui.tui.messages import FailureReported

if TYPE_CHECKING:
    from kobold_tui.tui.screens.workbench import Workbench

DRY_RUN_SECONDS = 0.06
"""From the last change to its dry run."""

SEARCH_SECONDS = 0.4
"""From the last change to the search for the best, which takes several dry runs."""

NOTICED_BYTES = 16 << 20
"""A change of free memory that is worth a new estimate."""

HELPERS = frozenset({"projector", "adapter"})
"""Kinds of files that are loaded beside a model and not by themselves."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A model as it is tuned: options, where it would go, what it would take, and what is known better.

    `exact` is a dry run of just these options on just these devices, None until it has answered; `exact_note`
    says why there is none. `best` and `longest` are proposals of the service. `hardware` is the text that the
    devices were planned from, empty for those of this machine.
    """

    launch: Launch
    model: TuningModel
    devices: tuple[Device, ...]
    estimate: MemoryEstimate
    levels: ComputeLevels | None = None
    exact: MemoryEstimate | None = None
    exact_note: str = ""
    best: Placement | None = None
    longest: Placement | None = None
    hardware: str = ""

    @property
    def options(self) -> LoadOptions:
        """How the model would be loaded."""
        return self.launch.preset.load

    @property
    def shown(self) -> MemoryEstimate:
        """The best figures there are: the prediction, or the dry run where nothing can be predicted."""
        return self.exact if self.exact is not None and not self.estimate.is_supported else self.estimate


class Tuner:
    """Follows the cursor, the controls of the pane and the hardware; the workbench shows what it finds."""

    def __init__(self, workbench: Workbench, backend: BackendThread[Services]) -> None:
        self._workbench = workbench
        self._backend = backend
        self._kept: dict[str, LoadOptions] = {}
        self._real: tuple[Device, ...] = ()
        self._free: tuple[int, ...] = ()
        self._path = ""

    def highlight(self, model: ModelEntry | None) -> None:
        """Tune another model."""
        if model is None or model.kind in HELPERS:
            self._path = ""
            self._show(None)
        elif model.path != self._path:
            self._path = model.path
            self._run("tune-model", self._prepare(model))

    def tune(self, options: LoadOptions) -> None:
        """Take over other options; the estimate stands at once."""
        tuning = self._workbench.tuning
        if tuning is None or options == tuning.options:
            return
        self._kept[tuning.launch.model.path] = options
        launch = _with_options(tuning.launch, options)
        self._change(replace(tuning, launch=launch, exact=None, exact_note=""))

    def plan_for(self, text: str) -> None:
        """Plan for other hardware, such as `24G,24G`; for this machine where nothing is named."""
        tuning = self._workbench.tuning
        if tuning is None:
            return
        try:
            devices = self._planned(text)
        except KoboldError as error:
            self._workbench.post_message(FailureReported(error.failure))
            return
        cleared = replace(tuning, devices=devices, hardware=text.strip(), exact=None, exact_note="")
        self._change(replace(cleared, best=None, longest=None))

    def kept(self, model: ModelEntry) -> Launch | None:
        """Return how a model is loaded as it was tuned in this run, None where it was not."""
        tuning = self._workbench.tuning
        if tuning is None or tuning.launch.model.path != model.path or model.path not in self._kept:
            return None
        return tuning.launch

    def measure(self, telemetry: Telemetry) -> None:
        """Plan anew where a different amount of memory is free."""
        free = _free_bytes(telemetry)
        pairs = zip(free, self._free, strict=False)
        is_same = len(free) == len(self._free) and all(abs(a - b) < NOTICED_BYTES for a, b in pairs)
        if self._workbench.tuning is not None and not is_same:
            self._free = free
            self._run("tune-hardware", self._measure())

    async def _prepare(self, model: ModelEntry) -> None:
        current, leaving = self._workbench.launch, self._leaving
        is_loaded = current is not None and current.model.path == model.path

        async def ask(services: Services) -> tuple[Launch, TuningModel, tuple[Device, ...]]:
            launch = current if is_loaded and current is not None else services.launch.for_model(model)
            prepared = await services.tuning.prepare(launch.spec)
            reserve = launch.preset.memory.reserve_bytes
            return launch, prepared, await services.tuning.devices(leaving, reserve)

        try:
            launch, prepared, self._real = await self._backend.call(ask)
        except KoboldError:  # a file that cannot be read says so in the list, and when it is loaded
            self._show(None)
            return
        launch = _with_options(launch, self._kept.get(model.path, launch.preset.load))
        hardware = self._workbench.tuning.hardware if self._workbench.tuning else ""
        devices = self._planned(hardware)
        estimate = prepared.estimate(launch.preset.load, devices)
        self._change(
            Tuning(launch=launch, model=prepared, devices=devices, estimate=estimate, hardware=hardware)
        )

    async def _measure(self) -> None:
        tuning, leaving = self._workbench.tuning, self._leaving
        if tuning is None:
            return
        reserve = tuning.launch.preset.memory.reserve_bytes
        try:
            self._real = await self._backend.call(lambda services: services.tuning.devices(leaving, reserve))
        except KoboldError:
            return
        tuning = self._workbench.tuning
        if tuning is not None and not tuning.hardware and tuning.devices != self._real:
            self._change(replace(tuning, devices=self._real))

    @property
    def _leaving(self) -> InstanceId | None:
        """The instance that a load would take the place of."""
        instance = self._workbench.instance
        return instance.id if instance is not None and is_live(instance.state) else None

    def _planned(self, text: str) -> tuple[Device, ...]:
        """Return the devices to plan for. Raises UsageError for a text that names none."""
        if not text.strip():
            return self._real
        host = next((device for device in self._real if device.is_host), None)
        reserve = max((device.reserve_bytes for device in self._real), default=0)
        return hardware_from_text(text, host, reserve_bytes=reserve)

    def _change(self, tuning: Tuning) -> None:
        """Show a changed tuning with its estimate, and ask for what is known better."""
        estimate = tuning.model.estimate(tuning.options, tuning.devices, tuning.levels)
        self._show(replace(tuning, estimate=estimate))
        self._run("tune-dry-run", self._confirm())
        self._run("tune-search", self._search())

    def _show(self, tuning: Tuning | None) -> None:
        workbench = self._workbench
        workbench.tuning = tuning
        loaded = workbench.launch.spec if workbench.launch is not None and self._leaving else None
        is_loaded = tuning is None or bool(tuning.hardware) or tuning.launch.spec == loaded
        workbench.estimate = None if tuning is None or is_loaded else tuning.shown

    async def _confirm(self) -> None:
        await asyncio.sleep(DRY_RUN_SECONDS)
        asked = self._workbench.tuning
        if asked is None:
            return
        try:
            exact = await self._backend.call(
                lambda services: services.tuning.confirm(asked.model, asked.options, asked.devices)
            )
        except KoboldError as error:
            self._learn(asked, exact_note=f"{error.message} {error.hint}".strip())
        else:
            self._learn(asked, exact=exact)

    async def _search(self) -> None:
        await asyncio.sleep(SEARCH_SECONDS)
        asked = self._workbench.tuning
        if asked is None or not asked.estimate.is_supported:
            return
        model, options, devices = asked.model, asked.options, asked.devices

        async def ask(services: Services) -> tuple[ComputeLevels, Placement, Placement]:
            levels = await services.tuning.calibrate(model, options, devices)
            best = await services.tuning.best(model, options, devices, levels)
            return levels, best, await services.tuning.largest_context(model, options, devices, levels)

        try:
            levels, best, longest = await self._backend.call(ask)
        except KoboldError:
            return
        estimate = model.estimate(options, devices, levels)
        self._learn(asked, levels=levels, estimate=estimate, best=best, longest=longest)

    def _learn(self, asked: Tuning, **found: Any) -> None:
        """Show what was found, unless it was asked for something else meanwhile."""
        now = self._workbench.tuning
        if now is None or now.model is not asked.model:
            return
        if now.options == asked.options and now.devices == asked.devices:
            self._show(replace(now, **found))

    def _run(self, group: str, work: Coroutine[Any, Any, None]) -> None:
        self._workbench.run_worker(work, group=group, exclusive=True, exit_on_error=False)


def _with_options(launch: Launch, options: LoadOptions) -> Launch:
    preset = msgspec.structs.replace(launch.preset, load=options)
    return msgspec.structs.replace(launch, preset=preset)


def _free_bytes(telemetry: Telemetry) -> tuple[int, ...]:
    cards = (gpu.memory_free_bytes or 0 for gpu in telemetry.gpus)
    return (telemetry.host.memory_available_bytes // 16, *cards)  # RAM moves all the time
