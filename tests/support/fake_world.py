"""A whole backend without processes, disks or hardware, for tests of the front ends.

`World.backend()` runs it in the real backend thread, so that no test hides a call across loops.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from fake_bench import MemoryResults, bench_service
from fake_browsing import FakeBrowsing
from fake_hub import FakeHub
from fake_tuning import FakeOverheads, FakeRunner
from memory_store import MemoryStore

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.gpu import GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.ledger import Reservation, fits
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.model import Header, Kind, ModelEntry, ModelFault
from kobold_tui.domain.preset import Preset
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.protocol import Engine
from kobold_tui.engine.script import Script
from kobold_tui.hardware.cuda_build import BuildPlan
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.chat import ChatService
from kobold_tui.services.conversations import ConversationsService
from kobold_tui.services.jobs import JobsService
from kobold_tui.services.launch import Defaults, LaunchService
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.machine import MachineService
from kobold_tui.services.models import ModelsService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import PlacementService
from kobold_tui.services.presets import PresetsService
from kobold_tui.services.registry import Services
from kobold_tui.services.residency import ResidencyService
from kobold_tui.services.state import StateService
from kobold_tui.services.switching import SwitchingService
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.services.tuning import TuningService
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.preset_exchange import PresetExchange
from kobold_tui.storage.preset_library import PresetLibrary
from kobold_tui.storage.settings import LoadedSettings
from kobold_tui.storage.story_files.exchange import StoryFiles
from kobold_tui.tui.context import Link, PaneContext

GIB = 1024**3


def model(
    name: str, kind: Kind = "chat", *, size_bytes: int = 98_400_000, parameters: int = 135_000_000
) -> ModelEntry:
    """Return a row of the catalogue."""
    return ModelEntry(
        path=f"/models/{name}-Q4_1.gguf",
        name=name,
        architecture="llama",
        kind=kind,
        parameters=parameters,
        quantization="Q4_1",
        size_bytes=size_bytes,
        n_layer=30,
        n_ctx_train=2048,
        n_embd=576,
        chat_template=kind == "chat",
        shards=1,
        source="test",
    )


class MemoryLedger:
    """Reservations of one program alone."""

    def __init__(self) -> None:
        self.held: dict[str, Reservation] = {}

    def reservations(self) -> tuple[Reservation, ...]:
        return tuple(self.held.values())

    def claim(self, instance: str, needs: Mapping[str, int], free: Mapping[str, int]) -> bool:
        others = [held for name, held in self.held.items() if name != instance]
        if fits(needs, free, others):
            self.held[instance] = Reservation(owner="", instance=instance, bytes_by_device=dict(needs))
            return True
        return False

    def drop(self, instance: str) -> None:
        self.held.pop(instance, None)

    def close(self) -> None:
        self.held.clear()


class World:
    """What there is: models, engines that follow a script, a store, and hardware that stands still."""

    def __init__(
        self,
        models: Sequence[ModelEntry | ModelFault] = (),
        script: Script | None = None,
        *,
        make_engine: Callable[[InstanceId], Engine] | None = None,
        gpus: tuple[GpuSnapshot, ...] = (),
        slow: bool = False,
    ) -> None:
        self.models = tuple(models)
        self.script = script or Script(reply="It is **well**.")
        self.store = MemoryStore()
        self.hub = FakeHub()
        self.browsing = FakeBrowsing(lambda: self.accelerators)
        self.engines: dict[InstanceId, FakeEngine] = {}
        self.gpus = gpus
        self.slow = slow
        self.elsewhere: tuple[ModelEntry, ...] = ()
        self.accelerators: tuple[str, ...] = ()
        self.remembered: dict[str, object] = {}
        self.ledger = MemoryLedger()
        self.runner = FakeRunner()
        self.headers: dict[str, Header] = {}
        self.measured = MemoryResults()
        self.estimates: dict[str, MemoryEstimate] = {}
        self.keep_presets_in(Path("/nowhere"))
        self._make_engine = make_engine or self._make_fake
        self._clock = itertools.count()

    def keep_presets_in(self, home: Path) -> None:
        """Have presets below this folder, and none that are bundled."""
        self.library = PresetLibrary((home / "presets",), home / "presets", home / "trash")
        self.exchange = PresetExchange(self.library, home / "templates")

    def backend(self) -> BackendThread[Services]:
        """Return a started backend thread over this world."""
        backend: BackendThread[Services] = BackendThread(self.open)
        backend.start()
        return backend

    def context(self, backend: BackendThread[Services], options: StartOptions | None = None) -> PaneContext:
        """Return what panes are built with."""
        return PaneContext(backend=backend, link=Link(slow=self.slow), options=options or StartOptions())

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Services]:
        """Open the services on the running loop."""
        thread, storing = OwnThread("fake files"), OwnThread("fake store")
        models = ModelsService(
            lambda: self.models, self._read, thread, read_details=self.browsing.read_details
        )
        loading = LoadingService(EnginePool(self._make_engine))
        telemetry = TelemetryService(self._sample, OwnThread("fake hardware"), interval_seconds=1.0)
        placement = PlacementService(self.ledger, OwnThread("fake ledger"), telemetry.sample, self._predict)
        jobs = JobsService()
        presets = PresetsService(self.library, self.exchange, models, thread, interval_seconds=0.01)
        services = Services(
            paths=Paths.below(Path("/nowhere")),
            settings=LoadedSettings(),
            models=models,
            model_files=self.browsing.files(loading),
            favourites=self.browsing.favourites(),
            suitability=self.browsing.suitability(),
            launch=LaunchService(models, self._find_preset, _no_preset, thread, Defaults()),
            presets=presets,
            loading=loading,
            switching=SwitchingService(loading, placement),
            residency=ResidencyService(loading),
            placement=placement,
            tuning=TuningService(
                self._header,
                thread,
                telemetry.sample,
                self.runner,
                FakeOverheads(),
                can_offload=lambda: bool(self.accelerators),
            ),
            chat=ChatService(loading.engine, lambda: self.store, storing),
            conversations=ConversationsService(lambda: self.store, storing, StoryFiles(), thread),
            telemetry=telemetry,
            benchmark=bench_service(loading, placement, telemetry, self._predict, presets, self.measured),
            jobs=jobs,
            downloads=self.hub.service(jobs),
            machine=MachineService(lambda: bool(self.gpus), self._plan, thread, lambda: self.accelerators),
            state=StateService(self.remembered.__setitem__, thread),
        )
        try:
            yield services
        finally:
            await services.jobs.close()
            await loading.close()

    async def _predict(self, spec: LoadSpec) -> MemoryEstimate | None:
        return self.estimates.get(spec.path)

    def _make_fake(self, instance_id: InstanceId) -> FakeEngine:
        return self.engines.setdefault(instance_id, FakeEngine(instance_id, self.script))

    def _find_preset(self, name: str) -> Preset | None:
        stored = self.library.find(name)
        return stored.preset if stored is not None else None

    def _read(self, path: Path, _source: str) -> ModelEntry:
        for item in (*self.models, *self.elsewhere):
            if isinstance(item, ModelEntry) and item.path == str(path):
                return item
        raise ModelFileError("Not found", f"{path} does not exist.", "Check the path.")

    def _header(self, path: Path) -> Header:
        if str(path) not in self.headers:
            raise ModelFileError("Not found", f"{path} does not exist.", "Check the path.")
        return self.headers[str(path)]

    def _plan(self) -> BuildPlan:
        return BuildPlan("cuda-wheel", "", "cu124", "A driver was found.", "pip install it")

    def _sample(self) -> Telemetry:
        host = HostSnapshot(memory_total_bytes=24 * GIB, memory_available_bytes=20 * GIB, cpu_percent=7.0)
        return Telemetry(taken_at=float(next(self._clock)), host=host, gpus=self.gpus)


def _no_preset(path: Path) -> Preset:
    raise ModelFileError("Not found", f"{path} does not exist.", "Check the path.")
