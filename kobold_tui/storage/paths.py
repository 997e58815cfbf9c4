"""Where files live: four folders, each with a purpose, and the files of ours in them.

The platform decides where the folders are; KOBOLD_TUI_HOME puts all of them below one folder. What the
project ships (themes, presets) is read from the checkout when running in one, else from the package.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from kobold_tui.domain.errors import Failure

APP_NAME = "kobold-tui"
HOME_VARIABLE = "KOBOLD_TUI_HOME"
PRIVATE = 0o700

Bundle = Literal["themes", "presets"]


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """The four folders: settings, data, what can be made again, and logs; and one shared with others."""

    config_dir: Path
    data_dir: Path
    cache_dir: Path
    log_dir: Path
    ledger_dir: Path
    """Promised memory, shared with other users of the machine where no folder is named for us alone."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Paths:
        """Return the folders of this user; KOBOLD_TUI_HOME, where set, moves them all."""
        if home := environ.get(HOME_VARIABLE):
            return cls.below(Path(home).expanduser().absolute())
        import platformdirs

        places = platformdirs.PlatformDirs(APP_NAME, appauthor=False)
        return cls(
            config_dir=places.user_config_path,
            data_dir=places.user_data_path,
            cache_dir=places.user_cache_path,
            log_dir=places.user_log_path,
            ledger_dir=Path(tempfile.gettempdir()) / f"{APP_NAME}-ledger",
        )

    @classmethod
    def below(cls, home: Path) -> Paths:
        """Return four folders below one."""
        return cls(
            config_dir=home / "config",
            data_dir=home / "data",
            cache_dir=home / "cache",
            log_dir=home / "log",
            ledger_dir=home / "ledger",
        )

    @property
    def settings_file(self) -> Path:
        """Settings written by hand; the program only reads them."""
        return self.config_dir / "settings.toml"

    @property
    def state_file(self) -> Path:
        """What the program remembers; only the program writes it."""
        return self.data_dir / "state.toml"

    @property
    def presets_dir(self) -> Path:
        """Presets of the user."""
        return self.config_dir / "presets"

    @property
    def themes_dir(self) -> Path:
        """Themes of the user."""
        return self.config_dir / "themes"

    @property
    def models_dir(self) -> Path:
        """Models that the program fetches or makes."""
        return self.data_dir / "models"

    @property
    def database(self) -> Path:
        """Conversations."""
        return self.data_dir / "conversations.db"

    @property
    def catalogue_index(self) -> Path:
        """Rows of the model catalogue."""
        return self.cache_dir / "catalogue.json"

    @property
    def overheads(self) -> Path:
        """What loads took on cards beside their buffers."""
        return self.cache_dir / "overheads.json"

    def create(self) -> tuple[Failure, ...]:
        """Make the folders that are missing, readable by their owner alone; returns what failed."""
        folders = (
            self.config_dir,
            self.data_dir,
            self.cache_dir,
            self.log_dir,
            self.presets_dir,
            self.themes_dir,
            self.models_dir,
        )
        failures = (_create(folder) for folder in folders)
        return tuple(failure for failure in failures if failure is not None)


def bundled_dir(name: Bundle) -> Path:
    """Return the folder with the themes or presets that the project ships."""
    package = Path(__file__).parent.parent
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    return package / "_bundled" / name


def make_private_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it, readable by their owner alone. Raises OSError."""
    missing = [folder, *folder.parents]
    for ancestor in reversed(missing):
        if not ancestor.exists():
            ancestor.mkdir(mode=PRIVATE, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(20, "A file is in the way", str(folder))


def _create(folder: Path) -> Failure | None:
    try:
        make_private_folder(folder)
    except OSError as error:
        return Failure(
            title="Cannot create a folder",
            message=f"{folder}: {error.strerror}.",
            hint=f"Make it writable, or set {HOME_VARIABLE} to a folder that is.",
        )
    return None
