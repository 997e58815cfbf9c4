"""The composition root: the only code that names every concrete class and puts them together.

Each room of this package puts one part together; this one opens and closes the whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.services.options import StartOptions
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings, load_settings, save_state

if TYPE_CHECKING:
    from kobold_tui.services.chat import Store
    from kobold_tui.services.registry import Services


LOG_BYTES = 1_000_000


def open_settings(options: StartOptions) -> tuple[Paths, LoadedSettings]:
    """Return places and settings as environment, files and command line have them."""
    paths = Paths.from_environment(os.environ)
    overrides: dict[str, object] = {"theme": options.theme} if options.theme else {}
    return paths, load_settings(paths, os.environ, overrides)


@contextlib.asynccontextmanager
async def open_services(
    options: StartOptions | None = None, *, private: bool = False
) -> AsyncIterator[Services]:
    """Open all services on the running loop; at the end models are unloaded and everything is stored.

    `private` keeps conversations in memory: nothing of a one-shot answer is stored.
    """
    paths, loaded = open_settings(options or StartOptions())
    paths.create()
    services = _services(paths, loaded, options or StartOptions(), private=private)
    try:
        yield services
    finally:
        await services.jobs.close()
        await services.loading.close()
        await services.chat.close()


def run_tui(options: StartOptions) -> int:
    """Run the terminal user interface; returns the exit status."""
    from kobold_tui.bootstrap.presets import preset_failures
    from kobold_tui.services.backend_thread import BackendThread

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


def _services(paths: Paths, loaded: LoadedSettings, options: StartOptions, *, private: bool) -> Services:
    from kobold_tui.bootstrap import engines, machine, models, presets
    from kobold_tui.services.chat import ChatService
    from kobold_tui.services.jobs import JobsService
    from kobold_tui.services.own_thread import OwnThread
    from kobold_tui.services.registry import Services
    from kobold_tui.services.state import StateService

    files, hardware, workers = OwnThread("files"), OwnThread("hardware"), machine.Workers()
    found = models.models_service(paths, loaded, options, files)
    loading = engines.loading_service(paths, workers)
    telemetry, machine_service = machine.machine_services(loaded, workers, hardware)
    return Services(
        paths=paths,
        settings=loaded,
        models=found,
        launch=presets.launch_service(paths, loaded, options, found, files),
        loading=loading,
        chat=ChatService(loading.engine, partial(_open_store, paths, private), OwnThread("conversations")),
        telemetry=telemetry,
        jobs=JobsService(),
        machine=machine_service,
        state=StateService(partial(save_state, paths), files),
    )


def _open_store(paths: Paths, private: bool) -> Store:
    from kobold_tui.storage.conversations import ConversationStore

    return ConversationStore(Path(":memory:") if private else paths.database)
