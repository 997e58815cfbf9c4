"""Carries wishes to load, stop and restart to the backend, and its facts to the workbench."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from textual.worker import Worker

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import Failed
from kobold_tui.domain.model import ModelEntry
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.launch import Launch
from kobold_tui.services.loading import instance_name
from kobold_tui.services.registry import Services
from kobold_tui.tui.messages import FailureReported

if TYPE_CHECKING:
    from kobold_tui.tui.screens.workbench import Workbench


LATER_SECONDS = 0.2
"""The drivers of the hardware take their time to start, and the list of models is what people wait for."""


class Loader:
    """The workbench's half of loading; one load at a time, a newer wish replaces an older one."""

    def __init__(self, workbench: Workbench, backend: BackendThread[Services]) -> None:
        self._workbench = workbench
        self._backend = backend
        self._worker: Worker[None] | None = None
        self._wanted: Launch | None = None

    def start(self) -> None:
        """Begin to follow the backend; what the first picture does not need comes a moment later."""
        self._run_all(self._follow_instances(), self._take_first())
        self._workbench.set_timer(
            LATER_SECONDS,
            lambda: self._run_all(self._follow_hardware(), self._follow_jobs(), self._check_build()),
        )

    def load(self, model: ModelEntry) -> None:
        """Load a model in place of what is loaded."""
        self._run(self._load_model(model))

    def restart(self) -> None:
        """Load the failed model again."""
        launch = self._workbench.launch
        if launch is not None:
            self._run(self._load(launch))

    def unload(self) -> None:
        """Stop the instance; its memory comes back."""
        self._run(self._stop())

    def cancel(self) -> None:
        """Cancel the load that is under way."""
        if self._worker is not None:
            self._worker.cancel()

    def _run_all(self, *works: Coroutine[Any, Any, None]) -> None:
        for work in works:
            self._workbench.run_worker(work, exit_on_error=False)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._worker = self._workbench.run_worker(work, group="load", exclusive=True, exit_on_error=False)

    async def _take_first(self) -> None:
        options = self._workbench.context.options
        reference = options.preset or options.model
        if not reference:
            return
        try:
            self._wanted = await self._backend.call(lambda services: services.launch.resolve(reference))
        except KoboldError as error:
            self._workbench.post_message(FailureReported(error.failure))
            return
        self._workbench.wanted = self._wanted.model
        if options.load:
            self._run(self._load(self._wanted))

    async def _load_model(self, model: ModelEntry) -> None:
        if self._wanted is not None and self._wanted.model.path == model.path:
            await self._load(self._wanted)
            return

        async def launch(services: Services) -> Launch:
            return services.launch.for_model(model)

        await self._load(await self._backend.call(launch))

    async def _load(self, launch: Launch) -> None:
        self._workbench.launch = launch
        spec = launch.spec
        try:
            await self._backend.call(lambda services: services.loading.load(spec, replace=True))
            await self._backend.call(lambda services: services.state.remember("last_model", spec.path))
        except KoboldError as error:
            instance = self._workbench.instance
            if instance is None or not isinstance(instance.state, Failed):
                self._workbench.post_message(FailureReported(error.failure))

    async def _stop(self) -> None:
        launch = self._workbench.launch
        if launch is None:
            return
        name = instance_name(launch.spec)
        try:
            await self._backend.call(lambda services: services.loading.stop(name))
        except KoboldError as error:
            self._workbench.post_message(FailureReported(error.failure))

    async def _check_build(self) -> None:
        warning = await self._backend.call(lambda services: services.machine.build_warning())
        if warning is not None:
            self._workbench.warn(warning)

    async def _follow_instances(self) -> None:
        async for batch in self._backend.stream(lambda services: services.loading.watch()):
            launch = self._workbench.launch
            self._workbench.instances = batch[-1]
            wanted = instance_name(launch.spec) if launch else None
            self._workbench.instance = next((found for found in batch[-1] if found.id == wanted), None)

    async def _follow_hardware(self) -> None:
        async for batch in self._backend.stream(lambda services: services.telemetry.watch()):
            self._workbench.reading = batch[-1]

    async def _follow_jobs(self) -> None:
        async for batch in self._backend.stream(lambda services: services.jobs.watch()):
            for job in batch:
                self._workbench.show_job(job)
