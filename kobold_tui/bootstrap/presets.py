"""Puts together what turns a name into a model and its options, from all preset folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.preset import Preset
from kobold_tui.services.launch import KCPPS, Chosen, Defaults, LaunchService
from kobold_tui.services.models import ModelsService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.presets import PresetsService
from kobold_tui.storage.paths import Paths, bundled_dir
from kobold_tui.storage.settings import LoadedSettings

if TYPE_CHECKING:
    from kobold_tui.storage.preset_exchange import PresetExchange
    from kobold_tui.storage.preset_library import PresetLibrary


def launch_service(
    paths: Paths, loaded: LoadedSettings, options: StartOptions, models: ModelsService, files: OwnThread
) -> LaunchService:
    """Return the service that resolves names; presets are read in the thread `files`."""
    settings = loaded.settings
    library = _library(paths, loaded, options)
    exchange = _exchange(paths, library)
    defaults = Defaults(
        load=settings.load,
        sampling=settings.sampling,
        chat=settings.chat,
        chosen=Chosen(preset=options.preset, model=options.model),
    )
    find, read = partial(_find, library, exchange), partial(_read, library, exchange)
    return LaunchService(models, find, read, files, defaults)


def presets_service(
    paths: Paths, loaded: LoadedSettings, options: StartOptions, models: ModelsService, files: OwnThread
) -> PresetsService:
    """Return the service that lists, saves and exchanges presets, in the thread `files`."""
    library = _library(paths, loaded, options)
    return PresetsService(library, _exchange(paths, library), models, files)


def preset_folders(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> tuple[Path, ...]:
    """Return where presets are looked for; a later folder wins over an earlier one."""
    named = (*loaded.settings.presets_dirs, *options.presets_dirs)
    return bundled_dir("presets"), paths.presets_dir, *(Path(folder).expanduser() for folder in named)


def preset_failures(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> tuple[Failure, ...]:
    """Return what is wrong with preset files, for those who report it."""
    return _library(paths, loaded, options).list().failed


def _library(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> PresetLibrary:
    from kobold_tui.storage.preset_library import PresetLibrary

    folders = preset_folders(paths, loaded, options)
    return PresetLibrary(folders, paths.presets_dir, paths.data_dir / "trash" / "presets")


def _exchange(paths: Paths, library: PresetLibrary) -> PresetExchange:
    from kobold_tui.storage.preset_exchange import PresetExchange

    return PresetExchange(library, paths.data_dir / "templates")


def _find(library: PresetLibrary, exchange: PresetExchange, name: str) -> Preset | None:
    """Return the preset of a name; one of KoboldCpp's files with the template made of its tags."""
    stored = library.find(name)
    if stored is not None and stored.source == "kcpps":
        return exchange.open(stored.path)
    return stored.preset if stored is not None else None


def _read(library: PresetLibrary, exchange: PresetExchange, path: Path) -> Preset:
    """Read one file; what it extends is looked for beside it and in the usual folders."""
    if path.suffix.lower() in KCPPS:
        return exchange.open(path.expanduser())
    return library.read(str(path)).preset
