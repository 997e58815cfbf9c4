"""Carries wishes to load, stop and restart to the backend, and its facts to the workbench."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from textual.worker import Worker

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import Failed, Instance, InstanceId
from kobold_tui.domain.model import ModelEntry
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.launch import Launch
from kobold_tui.services.loading import is_live
from kobold_tui.services.registry import Services
from kobold_tui.tui.messages import FailureReported

if TYPE_CHECKING:
    from kobold_tui.tui.screens.workbench import Workbench


LATER_SECONDS = 0.2
"""The drivers of the hardware take their time to start, and the list of models is what people wait for."""


@dataclass(frozen=True)
class _Serving:
    """The instance that requests go to, and what it was loaded as."""

    id: InstanceId
    launch: Launch


class Loader:
    """The workbench's half of loading; one load at a time, a newer wish replaces an older one.

    While a model loads the one before it goes on serving, where memory allows; `coming` of the workbench is
    then the one that loads, and `instance` the one that answers.
    """

    def __init__(self, workbench: Workbench, backend: BackendThread[Services]) -> None:
        self._workbench = workbench
        self._backend = backend
        self._worker: Worker[None] | None = None
        self._wanted: Launch | None = None
        self._serving: _Serving | None = None
        self._coming: Launch | None = None
        self._launches: dict[InstanceId, Launch] = {}

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

    def launch(self, launch: Launch, *, anyway: bool = False, beside: bool = False) -> None:
        """Load a model with its preset in place of what is loaded, or `beside` that.

        With `anyway` it is loaded also where memory is short.
        """
        self._run(self._load(launch, anyway=anyway, beside=beside))

    def serve(self, instance: Instance) -> None:
        """Have an instance that is there answer from now on."""
        self._workbench.run_worker(self._go_to(instance), group="serve", exclusive=True, exit_on_error=False)

    def restart(self) -> None:
        """Load the failed model again."""
        if self._serving is not None:
            self._run(self._restart(self._serving))

    def unload(self) -> None:
        """Stop the instance; its memory comes back."""
        if self._serving is not None:
            self._run(self._stop(self._serving.id))

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

    async def _load(self, launch: Launch, *, anyway: bool = False, beside: bool = False) -> None:
        spec, leaving = launch.spec, self._serving.id if self._serving and not beside else None
        self._coming = launch
        self._show(self._workbench.instances)
        try:
            switched = await self._backend.call(
                lambda services: services.switching.switch(spec, leaving, anyway=anyway)
            )
        except KoboldError as error:
            self._gave_up(launch)
            if not self._failed_in_view():
                self._workbench.post_message(FailureReported(error.failure))
        except BaseException:  # a cancelled load leaves what was there before
            self._gave_up(launch)
            raise
        else:
            self._serve(_Serving(switched.instance.id, launch))
            if spec.endpoint is None:
                await self._backend.call(lambda services: services.state.remember("last_model", spec.path))

    async def _go_to(self, instance: Instance) -> None:
        launch = self._launches.get(instance.id)
        try:
            if launch is None:
                launch = await self._backend.call(lambda services: launch_of(services, instance))
        except KoboldError as error:
            self._workbench.post_message(FailureReported(error.failure))
        else:
            self._serve(_Serving(instance.id, launch))

    async def _restart(self, serving: _Serving) -> None:
        try:
            await self._backend.call(lambda services: services.loading.restart(serving.id))
        except KoboldError as error:
            if not self._failed_in_view():
                self._workbench.post_message(FailureReported(error.failure))

    async def _stop(self, instance_id: InstanceId) -> None:
        try:
            await self._backend.call(lambda services: services.loading.stop(instance_id))
        except KoboldError as error:
            self._workbench.post_message(FailureReported(error.failure))
        else:
            self._launches.pop(instance_id, None)
            self._serve(None)
            others = [
                one for one in self._workbench.instances if one.id != instance_id and is_live(one.state)
            ]
            if others:
                self.serve(others[0])

    def _serve(self, serving: _Serving | None) -> None:
        if serving is not None:
            self._launches[serving.id] = serving.launch
        self._serving, self._coming = serving, None
        self._show(self._workbench.instances)

    def _gave_up(self, launch: Launch) -> None:
        """Note that nothing comes any more; a failed model that is alone stays in view."""
        if self._coming is not launch:
            return  # a newer wish has taken its place
        failed = self._find_coming(self._workbench.instances)
        alone = self._serving is None and failed is not None
        self._serve(_Serving(failed.id, launch) if alone and failed is not None else self._serving)

    def _failed_in_view(self) -> bool:
        instance = self._workbench.instance
        return instance is not None and isinstance(instance.state, Failed)

    def _find_coming(self, instances: tuple[Instance, ...]) -> Instance | None:
        launch, serving = self._coming, self._serving.id if self._serving else None
        found = (one for one in instances if launch and one.spec == launch.spec and one.id != serving)
        return next(found, None)

    def _show(self, instances: tuple[Instance, ...]) -> None:
        """Hand on what serves and what comes; before anything serves, what comes stands in its place."""
        workbench, coming = self._workbench, self._find_coming(instances)
        serving = next((one for one in instances if self._serving and one.id == self._serving.id), None)
        workbench.instances = instances
        if serving is None or (self._coming is not None and not is_live(serving.state)):
            workbench.coming = None
            workbench.launch = self._coming or (self._serving.launch if self._serving else None)
            workbench.instance = coming if self._coming is not None else serving
        else:
            workbench.launch = self._serving.launch if self._serving else None
            workbench.instance, workbench.coming = serving, coming

    async def _check_build(self) -> None:
        warning = await self._backend.call(lambda services: services.machine.build_warning())
        if warning is not None:
            self._workbench.warn(warning)

    async def _follow_instances(self) -> None:
        async for batch in self._backend.stream(lambda services: services.loading.watch()):
            self._show(batch[-1])

    async def _follow_hardware(self) -> None:
        async for batch in self._backend.stream(lambda services: services.telemetry.watch()):
            self._workbench.reading = batch[-1]

    async def _follow_jobs(self) -> None:
        async for batch in self._backend.stream(lambda services: services.jobs.watch()):
            for job in batch:
                self._workbench.show_job(job)


async def launch_of(services: Services, instance: Instance) -> Launch:
    """Return how an instance that something else has loaded would be loaded again. Raises KoboldError."""
    spec = instance.spec
    if spec.endpoint is not None:
        raise KoboldError(
            "Loaded elsewhere", f"{instance.id} was not loaded from here.", "Load its preset instead."
        )
    launch = services.launch.for_model(await services.models.resolve(spec.path))
    return replace(launch, preset=replace(launch.preset, load=spec.options))
