"""Starts the interface: themes, panes and warnings come together in the app, and the app runs."""

from __future__ import annotations

import gc
import os

import msgspec
from textual.theme import BUILTIN_THEMES

from kobold_tui.domain.errors import Failure
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.clipboard import Clipboard
from kobold_tui.services.options import StartOptions
from kobold_tui.services.registry import Services
from kobold_tui.storage.paths import Paths, bundled_dir
from kobold_tui.storage.settings import LoadedSettings
from kobold_tui.storage.themes import load_themes
from kobold_tui.tui.app import AppSetup, KoboldApp
from kobold_tui.tui.context import PaneContext, link_from
from kobold_tui.tui.registry import find_panes
from kobold_tui.tui.theming import to_textual


def run(
    backend: BackendThread[Services],
    options: StartOptions,
    paths: Paths,
    loaded: LoadedSettings,
    failed: tuple[Failure, ...],
) -> int:
    """Run the app until it ends and return the exit status; `failed` is what should be mended."""
    app = build_app(backend, options, paths, loaded, failed)
    if app.context.link.slow:
        app.animation_level = "none"
    gc.freeze()  # what was imported stays: collections that look at it hold the loop up for 50 ms and more
    return app.run() or 0


def build_app(
    backend: BackendThread[Services],
    options: StartOptions,
    paths: Paths,
    loaded: LoadedSettings,
    failed: tuple[Failure, ...] = (),
) -> KoboldApp:
    """Return the app, ready to run."""
    settings = loaded.settings
    themes, broken = load_themes((bundled_dir("themes"), paths.themes_dir))
    failures = [*failed, *(theme.error.failure for theme in broken)]
    if settings.theme not in themes and settings.theme not in BUILTIN_THEMES:
        failures.append(_unknown_theme(settings.theme, tuple(themes)))
    context = PaneContext(
        backend=backend,
        link=link_from(os.environ, settings.link),
        options=_with_last(options, loaded),
        gauge_seconds=settings.gauge_seconds,
    )
    setup = AppSetup(
        themes=tuple(to_textual(theme) for theme in themes.values()),
        theme=settings.theme if settings.theme in {*themes, *BUILTIN_THEMES} else "ember",
        keymap=settings.keys,
        copy=Clipboard(os.environ, write_terminal, fallback_dir=paths.data_dir).copy,
        warnings=tuple(failures),
    )
    return KoboldApp(context, find_panes(), setup)


def write_terminal(sequence: str) -> None:
    """Send an escape sequence past the interface, straight to the terminal; the screen is not touched."""
    descriptor = os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY)
    try:
        os.write(descriptor, sequence.encode())
    finally:
        os.close(descriptor)


def _with_last(options: StartOptions, loaded: LoadedSettings) -> StartOptions:
    """Return options in which a bare `--load` means what was loaded last."""
    if not options.load or options.preset or options.model:
        return options
    settings = loaded.settings
    return msgspec.structs.replace(options, preset=settings.last_preset, model=settings.last_model)


def _unknown_theme(name: str, known: tuple[str, ...]) -> Failure:
    return Failure(
        title="Unknown theme",
        message=f"There is no theme {name!r}.",
        hint=f"There are: {', '.join(sorted(known))}.",
    )
