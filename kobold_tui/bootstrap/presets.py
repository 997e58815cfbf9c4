"""Puts together what turns a name into a model and its options, from all preset folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.services.launch import Defaults, LaunchService
from kobold_tui.services.models import ModelsService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.storage.paths import Paths, bundled_dir
from kobold_tui.storage.settings import LoadedSettings


def launch_service(
    paths: Paths, loaded: LoadedSettings, options: StartOptions, models: ModelsService, files: OwnThread
) -> LaunchService:
    """Return the service that resolves names; presets are read in the thread `files`."""
    folders, settings = preset_folders(paths, loaded, options), loaded.settings
    defaults = Defaults(load=settings.load, sampling=settings.sampling, chat=settings.chat)
    return LaunchService(models, partial(_presets, folders), partial(_read_preset, folders), files, defaults)


def preset_folders(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> tuple[Path, ...]:
    """Return where presets are looked for; a later folder wins over an earlier one."""
    own = (paths.presets_dir, *(Path(folder).expanduser() for folder in loaded.settings.presets_dirs))
    return bundled_dir("presets"), *own, *(Path(folder).expanduser() for folder in options.presets_dirs)


def preset_failures(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> tuple[Failure, ...]:
    """Return what is wrong with preset files, for those who report it."""
    from kobold_tui.storage.presets import load_presets

    _, failed = load_presets(preset_folders(paths, loaded, options))
    return failed


def _presets(folders: tuple[Path, ...]) -> tuple[Preset, ...]:
    from kobold_tui.storage.presets import load_presets

    loaded, _ = load_presets(folders)
    return tuple(stored.preset for stored in loaded)


def _read_preset(folders: tuple[Path, ...], path: Path) -> Preset:
    """Read one file; what it extends is looked for beside it and in the usual folders."""
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
