"""The composition root: the only code that names every concrete class and puts them together.

Each room of this package puts one part together; this one opens and closes the whole.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.services.options import StartOptions
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings, load_settings, save_state

if TYPE_CHECKING:
    from kobold_tui.bootstrap.outside import Outside
    from kobold_tui.services.registry import Services


Clock = Callable[[], float]

LOG_BYTES = 1_000_000


def open_settings(options: StartOptions) -> tuple[Paths, LoadedSettings]:
    """Return places and settings as environment, files and command line have them.

    A demonstration has places of its own, and no settings but those of the command line.
    """
    environ: Mapping[str, str] = os.environ
    overrides: dict[str, object] = {"theme": options.theme} if options.theme else {}
    if options.demo:
        from kobold_tui.bootstrap.demo import demo_paths
        from kobold_tui.bootstrap.demo.models import CHAT

        paths, environ = demo_paths(), {}
        overrides["default_model"] = CHAT.name
    else:
        paths = Paths.from_environment(environ)
    return paths, load_settings(paths, environ, overrides)


@contextlib.asynccontextmanager
async def open_services(
    options: StartOptions | None = None, *, private: bool = False, clock: Clock = time.monotonic
) -> AsyncIterator[Services]:
    """Open all services on the running loop; at the end models are unloaded and everything is stored.

    `private` keeps conversations in memory: nothing of a one-shot answer is stored. `clock` is what the
    made-up cards of a demonstration go by.
    """
    options = options or StartOptions()
    paths, loaded = open_settings(options)
    paths.create()
    services = _services(paths, loaded, options, _outside(paths, loaded, options, clock), private=private)
    services.loading.decide_with(services.tuning.decide)
    services.residency.start()
    try:
        async with _beside(services, options):
            yield services
    finally:
        await services.jobs.close()
        await services.residency.close()
        await services.loading.close()
        await services.placement.close()
        await services.tuning.close()
        await services.chat.close()
        await services.conversations.close()


def run_tui(options: StartOptions) -> int:
    """Run the terminal user interface; returns the exit status."""
    from kobold_tui.bootstrap.presets import preset_failures
    from kobold_tui.services.backend_thread import BackendThread

    if options.demo:
        from kobold_tui.bootstrap.demo import demo_options

        options = demo_options(options)
    paths, loaded = open_settings(options)
    failed = (*paths.create(), *loaded.failed, *preset_failures(paths, loaded, options))
    backend: BackendThread[Services] = BackendThread(partial(open_services, options))
    backend.start()
    try:
        from kobold_tui.tui.start import run

        _log_to_file(paths.log_dir / "kobold-tui.log")
        return run(backend, options, paths, loaded, failed)
    finally:
        backend.close_waiting()


def _log_to_file(path: Path) -> None:
    """Keep what the program notes about itself in a file of its owner's; the one before is kept too."""
    import logging

    try:
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".old.log"))
        path.touch(mode=0o600)
        handler: logging.Handler = logging.FileHandler(path, encoding="utf-8", errors="replace")
    except OSError:  # no log is better than no program
        handler = logging.NullHandler()
    logging.basicConfig(handlers=[handler], format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def _services(
    paths: Paths, loaded: LoadedSettings, options: StartOptions, outside: Outside, *, private: bool
) -> Services:
    from kobold_tui.bootstrap import benchmark, conversations, downloads, engines, models, presets, tuning
    from kobold_tui.services.jobs import JobsService
    from kobold_tui.services.own_thread import OwnThread
    from kobold_tui.services.registry import Services
    from kobold_tui.services.residency import ResidencyService
    from kobold_tui.services.state import StateService
    from kobold_tui.services.switching import SwitchingService

    jobs, files, loading, telemetry = JobsService(), OwnThread("files"), outside.loading, outside.telemetry
    found = models.models_service(paths, loaded, outside.stores, files)
    tuner = tuning.tuning_service(paths, telemetry, files, outside.accelerators)
    placement = engines.placement_service(paths, telemetry, tuner)
    stored = presets.presets_service(paths, loaded, options, found, files)
    chat, talks = conversations.conversation_services(paths.database, loading, files, private=private)
    return Services(
        paths=paths,
        settings=loaded,
        models=found,
        model_files=models.model_files_service(loading),
        favourites=models.favourites_service(paths, loaded, files),
        suitability=models.suitability_service(loaded, outside.accelerators),
        launch=presets.launch_service(paths, loaded, options, found, files),
        presets=stored,
        loading=loading,
        switching=SwitchingService(loading, placement),
        residency=ResidencyService(loading, loaded.settings.idle_unload_seconds),
        placement=placement,
        tuning=tuner,
        chat=chat,
        conversations=talks,
        telemetry=telemetry,
        benchmark=benchmark.benchmark_service(paths, stored, loading, placement, telemetry, tuner),
        jobs=jobs,
        downloads=downloads.downloads_service(paths, loaded, jobs, telemetry),
        machine=outside.machine,
        state=StateService(partial(save_state, paths), files),
    )


def _outside(paths: Paths, loaded: LoadedSettings, options: StartOptions, clock: Clock) -> Outside:
    if options.demo:
        from kobold_tui.bootstrap.demo import demo_outside

        return demo_outside(paths, loaded.settings.gauge_seconds, clock)
    from kobold_tui.bootstrap.outside import real_outside

    return real_outside(paths, loaded, options)


def _beside(services: Services, options: StartOptions) -> contextlib.AbstractAsyncContextManager[None]:
    """Return what runs beside the services: in the demonstration a second model."""
    if not options.demo:
        return contextlib.nullcontext()
    from kobold_tui.bootstrap.demo import second_model

    return second_model(services)
