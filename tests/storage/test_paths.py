"""Files are where the environment says, and readable by their owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kobold_tui.storage.paths import Paths, bundled_dir


def test_one_variable_moves_all_folders(tmp_path: Path) -> None:
    paths = Paths.from_environment({"KOBOLD_TUI_HOME": str(tmp_path)})
    places = (
        paths.settings_file,
        paths.state_file,
        paths.presets_dir,
        paths.themes_dir,
        paths.models_dir,
        paths.database,
        paths.catalogue_index,
        paths.log_dir,
    )
    assert all(place.is_relative_to(tmp_path) for place in places)
    assert len(set(places)) == len(places)


def test_without_it_the_folders_are_those_of_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    paths = Paths.from_environment({})
    assert all(folder.name == "kobold-tui" or "kobold-tui" in folder.parts for folder in (
        paths.config_dir, paths.data_dir, paths.cache_dir, paths.log_dir,
    ))  # fmt: skip


def test_new_folders_are_private(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        paths = Paths.below(tmp_path / "a" / "b")
        assert paths.create() == ()
    finally:
        os.umask(previous)
    for folder in (tmp_path / "a", paths.config_dir, paths.data_dir, paths.models_dir, paths.presets_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("in the way")
    paths = Paths.below(tmp_path)
    failures = paths.create()
    assert all(str(paths.config_dir) in failure.message for failure in failures)
    assert len(failures) == 3
    assert paths.data_dir.is_dir()


def test_the_checkout_ships_its_own_presets() -> None:
    assert (bundled_dir("presets") / "starter.toml").is_file()
    assert bundled_dir("presets").parent == bundled_dir("themes").parent


def test_an_installed_package_ships_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "site-packages" / "kobold_tui" / "storage" / "paths.py"
    monkeypatch.setattr("kobold_tui.storage.paths.__file__", str(module))
    (tmp_path / "site-packages" / "themes").mkdir(parents=True)
    assert bundled_dir("themes") == tmp_path / "site-packages" / "kobold_tui" / "_bundled" / "themes"
