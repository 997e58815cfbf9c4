"""Settings and who set them: command line, then environment, then what the app wrote, then the file.

What the app remembers (state.toml) beats the hand-written settings.toml, so that a choice made in the app
takes effect; the origin of every value is kept, so that nobody has to guess. settings.toml is never
written. A file that is wrong is left out as a whole and reported, and never stops the program.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kobold_tui.domain.errors import Failure, KoboldError, UsageError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import ChatOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.storage.environment import environment_tables, parse_value
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.toml_file import Table, convert, read_table, write_toml

COMMAND_LINE = "command line"
DEFAULT = "default"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that a person can set once for all models and presets."""

    theme: Annotated[str, Meta(min_length=1, title="Theme", description="Name of the theme.")] = "ember"
    models_dirs: Annotated[
        tuple[str, ...], Meta(title="Model folders", description="Folders to look for GGUF files in.")
    ] = ()
    presets_dirs: Annotated[
        tuple[str, ...], Meta(title="Preset folders", description="More folders with presets.")
    ] = ()
    default_model: Annotated[
        str, Meta(title="Default model", description="Used where none is named: a name or a path.")
    ] = ""
    last_model: Annotated[
        str, Meta(title="Last model", description="The model loaded last; the app keeps it.")
    ] = ""
    last_preset: Annotated[
        str, Meta(title="Last preset", description="The preset loaded last; the app keeps it.")
    ] = ""
    favourites: Annotated[
        tuple[str, ...], Meta(title="Favourites", description="Models that stand first; the app keeps them.")
    ] = ()
    recent_models: Annotated[
        tuple[str, ...],
        Meta(
            title="Recent models", description="Models loaded lately, the last one first; the app keeps it."
        ),
    ] = ()
    link: Annotated[
        Literal["auto", "fast", "slow"],
        Meta(title="Link", description="slow: fewer frames, no animation; auto: slow over SSH."),
    ] = "auto"
    gauge_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60,
            title="Gauge interval",
            description="Time between two readings of the hardware.",
            extra={"unit": "s"},
        ),
    ] = 1.0
    idle_unload_seconds: Annotated[
        float,
        Meta(
            ge=0,
            title="Idle unload",
            description="A model that nobody asks gives its memory back after this time; 0 is never.",
            extra={"unit": "s"},
        ),
    ] = 0.0
    keys: Annotated[
        dict[str, str],
        Meta(title="Keys", description="Key by action id; several are separated by commas."),
    ] = {}
    load: Annotated[
        LoadOptions, Meta(title="Loading", description="Defaults for models without a preset.")
    ] = LoadOptions()
    sampling: Annotated[
        SamplingOptions, Meta(title="Sampling", description="Defaults for models without a preset.")
    ] = SamplingOptions()
    chat: Annotated[ChatOptions, Meta(title="Chat", description="Defaults for models without a preset.")] = (
        ChatOptions()
    )


class LoadedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings as they hold now; `origins` names who set each key that is not at its default."""

    settings: Settings = Settings()
    origins: dict[str, str] = {}
    failed: tuple[Failure, ...] = ()

    def origin(self, key: str) -> str:
        """Return who set a dotted key, such as `load.n_ctx`."""
        return self.origins.get(key, DEFAULT)


def load_settings(
    paths: Paths, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> LoadedSettings:
    """Merge all sources; `overrides` are values of the command line by dotted key.

    What is wrong in a file or variable is in `failed`. Raises UsageError for a wrong override.
    """
    failed: list[Failure] = []
    layers = [
        *_file_layer(paths.settings_file, failed),
        *_file_layer(paths.state_file, failed),
        *environment_tables(environ, Settings, failed),
        *((COMMAND_LINE, _override(key, value)) for key, value in (overrides or {}).items()),
    ]
    merged: Table = {}
    origins: dict[str, str] = {}
    for origin, table in layers:
        merge(merged, table)
        origins |= dict.fromkeys(leaf_keys(table), origin)
    settings = convert(merged, Settings, paths.settings_file)
    return LoadedSettings(settings=settings, origins=origins, failed=tuple(failed))


def save_state(paths: Paths, key: str, value: object) -> None:
    """Remember a setting, or forget it with None. Raises KoboldError where it is wrong or not writable.

    Several running copies of the program take turns, so that none loses what another has written.
    """
    with _lock(paths.state_file):
        table = read_table(paths.state_file) if paths.state_file.exists() else {}
        _put(table, key, value)
        convert(table, Settings, paths.state_file)
        write_toml(paths.state_file, table)


def edit_state(paths: Paths, key: str, edit: Callable[[object], object]) -> object:
    """Change one remembered setting by what is remembered now, None for nothing; returns the new value.

    Raises KoboldError where it is wrong or not writable. No other copy of the program writes in between.
    """
    with _lock(paths.state_file):
        table = read_table(paths.state_file) if paths.state_file.exists() else {}
        value = edit(table.get(key))
        _put(table, key, value)
        convert(table, Settings, paths.state_file)
        write_toml(paths.state_file, table)
    return value


def setting_from_text(key: str, text: str) -> object:
    """Return the value of a setting as a person types it: `8192`, `auto`, `["a", "b"]`.

    Raises UsageError for an unknown key and for a text that the key cannot be.
    """
    try:
        return parse_value(key, text, Settings)
    except KoboldError as error:
        raise UsageError(error.title, error.message, error.hint) from None


def merge(base: Table, over: Table) -> None:
    """Put the values of `over` into `base`, table by table."""
    for key, value in over.items():
        inner = base.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            merge(inner, value)
        else:
            base[key] = _copy(value)


def leaf_keys(table: Table, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of all values that are no tables."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaf_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value


def _file_layer(path: Path, failed: list[Failure]) -> Iterator[tuple[str, Table]]:
    try:
        if not path.exists():
            return
        table = read_table(path)
        convert(table, Settings, path)
    except (KoboldError, OSError) as error:
        failed.append(_failure(error, path))
        return
    yield str(path), table


def _failure(error: KoboldError | OSError, path: Path) -> Failure:
    if isinstance(error, KoboldError):
        return error.failure
    return Failure(
        title="Cannot read a file",
        message=f"{path}: {error.strerror}.",
        hint="Check your permission to read it.",
    )


def _override(key: str, value: object) -> Table:
    table: Table = {}
    _put(table, key, list(value) if isinstance(value, tuple) else value)
    try:
        convert(table, Settings, Path(COMMAND_LINE))
    except KoboldError as error:
        raise UsageError(error.title, error.message, error.hint) from None
    return table


def _put(table: Table, key: str, value: object) -> None:
    *above, last = key.split(".")
    for part in above:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise KoboldError("Wrong value", f"{part} is no table, so {key} cannot be set.", "Check the key.")
        table = inner
    if value is None:
        table.pop(last, None)
    else:
        table[last] = value


class _lock:  # noqa: N801 - reads as a statement
    """Holds a lock file beside `path`, which the kernel frees even when the program is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{path.name}.lock")
        self._fd = -1

    def __enter__(self) -> None:
        import fcntl

        from kobold_tui.storage.paths import make_private_folder

        try:
            make_private_folder(self._path.parent)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise KoboldError(
                "Cannot write a file",
                f"{self._path}: {error.strerror}.",
                "Make the folder writable; until then nothing is remembered.",
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
