"""A whole backend without processes, disks or hardware, for tests of the front ends.

`World.backend()` runs it in the real backend thread, so that no test hides a call across loops.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from memory_store import MemoryStore

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.gpu import GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.model import Kind, ModelEntry, ModelFault
from kobold_tui.domain.preset import Preset
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.protocol import Engine
from kobold_tui.engine.script import Script
from kobold_tui.hardware.cuda_build import BuildPlan
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.chat import ChatService
from kobold_tui.services.jobs import JobsService
from kobold_tui.services.launch import Defaults, LaunchService
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.machine import MachineService
from kobold_tui.services.models import ModelsService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.registry import Services
from kobold_tui.services.state import StateService
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings
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
        self.engines: dict[InstanceId, FakeEngine] = {}
        self.gpus = gpus
        self.slow = slow
        self.elsewhere: tuple[ModelEntry, ...] = ()
        self.accelerators: tuple[str, ...] = ()
        self.remembered: dict[str, object] = {}
        self._make_engine = make_engine or self._make_fake
        self._clock = itertools.count()

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
        thread = OwnThread("fake files")
        models = ModelsService(lambda: self.models, self._read, thread)
        loading = LoadingService(EnginePool(self._make_engine))
        services = Services(
            paths=Paths.below(Path("/nowhere")),
            settings=LoadedSettings(),
            models=models,
            launch=LaunchService(models, tuple, _no_preset, thread, Defaults()),
            loading=loading,
            chat=ChatService(loading.engine, lambda: self.store, OwnThread("fake store")),
            telemetry=TelemetryService(self._sample, OwnThread("fake hardware"), interval_seconds=1.0),
            jobs=JobsService(),
            machine=MachineService(lambda: bool(self.gpus), self._plan, thread, lambda: self.accelerators),
            state=StateService(self.remembered.__setitem__, thread),
        )
        try:
            yield services
        finally:
            await services.jobs.close()
            await loading.close()

    def _make_fake(self, instance_id: InstanceId) -> FakeEngine:
        return self.engines.setdefault(instance_id, FakeEngine(instance_id, self.script))

    def _read(self, path: Path, _source: str) -> ModelEntry:
        for item in (*self.models, *self.elsewhere):
            if isinstance(item, ModelEntry) and item.path == str(path):
                return item
        raise ModelFileError("Not found", f"{path} does not exist.", "Check the path.")

    def _plan(self) -> BuildPlan:
        return BuildPlan("cuda-wheel", "", "cu124", "A driver was found.", "pip install it")

    def _sample(self) -> Telemetry:
        host = HostSnapshot(memory_total_bytes=24 * GIB, memory_available_bytes=20 * GIB, cpu_percent=7.0)
        return Telemetry(taken_at=float(next(self._clock)), host=host, gpus=self.gpus)


def _no_preset(path: Path) -> Preset:
    raise ModelFileError("Not found", f"{path} does not exist.", "Check the path.")
