"""The composition root: the only code that names every concrete class and puts them together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.domain.errors import KoboldError
from kobold_tui.services.options import StartOptions
from kobold_tui.storage.paths import Paths, bundled_dir
from kobold_tui.storage.settings import LoadedSettings, load_settings, save_state

if TYPE_CHECKING:
    from kobold_tui.domain.errors import Failure
    from kobold_tui.domain.instance import Instance, InstanceId
    from kobold_tui.domain.model import ModelEntry, ModelFault
    from kobold_tui.domain.preset import Preset
    from kobold_tui.engine.protocol import Engine
    from kobold_tui.hardware.cuda_build import BuildPlan
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
    from kobold_tui.engine.pool import EnginePool
    from kobold_tui.hardware.probe import MachineProbe
    from kobold_tui.services.chat import ChatService
    from kobold_tui.services.jobs import JobsService
    from kobold_tui.services.launch import Defaults, LaunchService
    from kobold_tui.services.loading import LoadingService
    from kobold_tui.services.machine import MachineService
    from kobold_tui.services.models import ModelsService
    from kobold_tui.services.own_thread import OwnThread
    from kobold_tui.services.registry import Services
    from kobold_tui.services.state import StateService
    from kobold_tui.services.telemetry import TelemetryService

    settings, files = loaded.settings, OwnThread("files")
    models = ModelsService(partial(_scan, paths, loaded, options), _read_entry, files, settings.default_model)
    pool = EnginePool(partial(_make_engine, paths))
    workers = _Workers()
    pool.watch(workers.note)
    probe = MachineProbe(workers.pids)
    hardware = OwnThread("hardware")
    loading = LoadingService(pool)
    return Services(
        paths=paths,
        settings=loaded,
        models=models,
        launch=LaunchService(
            models,
            partial(_presets, _preset_folders(paths, loaded, options)),
            partial(_read_preset, _preset_folders(paths, loaded, options)),
            files,
            Defaults(load=settings.load, sampling=settings.sampling, chat=settings.chat),
        ),
        loading=loading,
        chat=ChatService(loading.engine, partial(_open_store, paths, private), OwnThread("conversations")),
        telemetry=TelemetryService(probe.read, hardware, settings.gauge_seconds),
        jobs=JobsService(),
        machine=MachineService(probe.gpu_present, _plan_build, hardware),
        state=StateService(partial(save_state, paths), files),
    )


class _Workers:
    """The processes of our instances, noted on the backend's loop and read by the hardware's thread."""

    def __init__(self) -> None:
        self._pids: Mapping[str, int] = {}

    def note(self, instances: tuple[Instance, ...]) -> None:
        """Replace what is known, in one step."""
        self._pids = {instance.id: instance.pid for instance in instances if instance.pid is not None}

    def pids(self) -> Mapping[str, int]:
        """Return process ids by instance."""
        return self._pids


def _plan_build() -> BuildPlan:
    from kobold_tui.hardware.cuda_build import choose_build, probe_machine

    return choose_build(probe_machine())


def _make_engine(paths: Paths, instance_id: InstanceId) -> Engine:
    from kobold_tui.engine.process import ProcessEngine

    return ProcessEngine(instance_id, log_file=paths.log_dir / f"{instance_id}.log")


def _scan(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> Iterable[ModelEntry | ModelFault]:
    from kobold_tui.catalogue.index import CatalogueIndex
    from kobold_tui.catalogue.scan import scan
    from kobold_tui.catalogue.stores import default_stores

    index = CatalogueIndex(paths.catalogue_index)
    folders = (*options.models_dirs, *loaded.settings.models_dirs)
    yield from scan(default_stores(folders, paths.models_dir, os.environ), index.read)
    index.save()


def _read_entry(path: Path, source: str) -> ModelEntry:
    from kobold_tui.catalogue.entry import read_entry

    return read_entry(path.expanduser(), source)


def _preset_folders(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> tuple[Path, ...]:
    own = (paths.presets_dir, *(Path(folder).expanduser() for folder in loaded.settings.presets_dirs))
    return bundled_dir("presets"), *own, *(Path(folder).expanduser() for folder in options.presets_dirs)


def _presets(folders: tuple[Path, ...]) -> tuple[Preset, ...]:
    from kobold_tui.storage.presets import load_presets

    loaded, _ = load_presets(folders)
    return tuple(stored.preset for stored in loaded)


def preset_failures(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> tuple[Failure, ...]:
    """Return what is wrong with preset files, for those who report it."""
    from kobold_tui.storage.presets import load_presets

    _, failed = load_presets(_preset_folders(paths, loaded, options))
    return failed


def _read_preset(folders: tuple[Path, ...], path: Path) -> Preset:
    """Read one file; what it extends is looked for beside it and in the usual folders."""
    from kobold_tui.domain.preset import Preset
    from kobold_tui.storage.presets import load_presets
    from kobold_tui.storage.toml_file import read_toml

    path = path.expanduser().resolve()
    preset = read_toml(path, Preset)
    if not preset.extends:
        return preset
    loaded, failed = load_presets((*folders, path.parent))
    found = next((stored.preset for stored in loaded if stored.path.resolve() == path), None)
    if found is None:
        reasons = [failure for failure in failed if str(path) in failure.message]
        raise KoboldError.from_failure(reasons[0] if reasons else failed[0])
    return found


def _open_store(paths: Paths, private: bool) -> Store:
    from kobold_tui.storage.conversations import ConversationStore

    return ConversationStore(Path(":memory:") if private else paths.database)
