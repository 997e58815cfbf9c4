"""Gathers the facts that `services.doctor` examines; a part that cannot be asked becomes a finding itself.

llama.cpp's library is asked in a worker process: a broken one can end the process that loads it.
"""

from __future__ import annotations

import asyncio
import locale
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kobold_tui.catalogue.places import default_stores
from kobold_tui.catalogue.scan import scan
from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.model import ModelEntry
from kobold_tui.engine.connection import Deadlines
from kobold_tui.engine.planner import PlannerDeadlines, probe_planner
from kobold_tui.engine.process import probe_worker
from kobold_tui.engine.spawn import DEFAULT_LAUNCH, Launch
from kobold_tui.hardware.cuda_build import BuildProbe, cards_in_words, choose_build, probe_machine
from kobold_tui.services.clipboard import Clipboard, CopyRoute
from kobold_tui.services.doctor import Facts, LibraryFacts, ModelFacts, TerminalFacts
from kobold_tui.services.options import StartOptions
from kobold_tui.storage.paths import Paths, bundled_dir
from kobold_tui.storage.presets import load_presets
from kobold_tui.storage.settings import LoadedSettings, load_settings
from kobold_tui.storage.themes import load_themes

Tell = Callable[[str], None]

START_SECONDS = 30.0
"""Loading a CUDA build for the first time after a start of the machine takes several seconds."""


def ask_worker(launch: Launch = DEFAULT_LAUNCH, start_seconds: float = START_SECONDS) -> LibraryFacts:
    """Return what a worker says of the library, or in words why it says nothing. Blocks."""
    return asyncio.run(_ask(launch, start_seconds))


async def _ask(launch: Launch, start_seconds: float) -> LibraryFacts:
    try:
        hello = await probe_worker(launch, Deadlines(start_seconds=start_seconds))
    except EngineError as error:
        return LibraryFacts(failure=error.message)
    return LibraryFacts(
        version=hello.llama_cpp_version,
        gpu_offload=hello.gpu_offload_supported,
        devices=hello.devices,
        planner=await probe_planner(launch, PlannerDeadlines(start_seconds=start_seconds)),
    )


def gather(
    environ: Mapping[str, str],
    options: StartOptions,
    *,
    tell: Tell = lambda _: None,
    ask: Callable[[], LibraryFacts] = ask_worker,
) -> Facts:
    """Look at this machine, which takes up to seconds; `tell` hears what is being looked at. Blocks."""
    tell("Looking at files …")
    paths = Paths.from_environment(environ)
    place_failures = (*paths.create(), *_unwritable(paths))
    loaded = load_settings(paths, environ)
    file_failures = (*loaded.failed, *_broken_presets(paths, loaded, options), *_broken_themes(paths))
    models = _models(paths, loaded, options, environ)
    tell("Asking the NVIDIA driver …")
    probe = probe_machine(environ.get("PATH"))
    tell("Loading llama-cpp-python in a process of its own …")
    library = ask()
    return Facts(
        python=sys.version_info[:3],
        executable=sys.executable,
        library=library,
        cards=_cards(probe),
        build=choose_build(probe),
        terminal=_terminal(environ),
        clipboard=_clipboard_route(environ, paths),
        models=models,
        place_failures=place_failures,
        folders=_folders(paths),
        file_failures=file_failures,
    )


def _cards(probe: BuildProbe) -> str:
    found = probe.driver_cuda is not None and bool(probe.compute_capabilities)
    return f"NVIDIA {cards_in_words(probe)}" if found else ""


def _folders(paths: Paths) -> tuple[tuple[str, str], ...]:
    return (
        ("settings", str(paths.config_dir)),
        ("conversations", str(paths.data_dir)),
        ("model index", str(paths.cache_dir)),
        ("logs", str(paths.log_dir)),
    )


def _unwritable(paths: Paths) -> tuple[Failure, ...]:
    folders = (paths.config_dir, paths.data_dir, paths.cache_dir, paths.log_dir)
    return tuple(
        Failure(
            title="Cannot write a folder",
            message=f"{folder} is not writable.",
            hint=f"chmod u+rwx {folder}",
        )
        for folder in folders
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK)
    )


def _broken_presets(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> tuple[Failure, ...]:
    chosen = [Path(folder).expanduser() for folder in (*loaded.settings.presets_dirs, *options.presets_dirs)]
    _, failed = load_presets([bundled_dir("presets"), paths.presets_dir, *chosen])
    return failed


def _broken_themes(paths: Paths) -> tuple[Failure, ...]:
    _, failed = load_themes([bundled_dir("themes"), paths.themes_dir])
    return tuple(theme.error.failure for theme in failed)


def _models(
    paths: Paths, loaded: LoadedSettings, options: StartOptions, environ: Mapping[str, str]
) -> ModelFacts:
    folders = (*options.models_dirs, *loaded.settings.models_dirs)
    items = list(scan(default_stores(folders, paths.models_dir, environ)))
    names = tuple(Path(item.path).name for item in items if isinstance(item, ModelEntry))
    return ModelFacts(names=names, n_faults=len(items) - len(names))


def _terminal(environ: Mapping[str, str]) -> TerminalFacts:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return TerminalFacts(environ=environ, encoding=locale.getpreferredencoding(False), size=None)
    return TerminalFacts(
        environ=environ, encoding=locale.getpreferredencoding(False), size=(size.columns, size.lines)
    )


def _clipboard_route(environ: Mapping[str, str], paths: Paths) -> CopyRoute:
    def write(text: str) -> None:
        sys.stdout.write(text)

    write_terminal = write if sys.stdout.isatty() else None
    return Clipboard(environ, write_terminal, fallback_dir=paths.data_dir).route
