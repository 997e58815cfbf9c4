"""The list of presets, and what the keys do with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_world import World, model
from textual.widgets import Input

from kobold_tui.tui.panes.presets import PresetsPane
from kobold_tui.tui.screens.preset_compare import PresetCompareScreen
from kobold_tui.tui.screens.preset_import import PresetReportScreen
from kobold_tui.tui.screens.preset_question import ChoiceScreen, LineScreen
from kobold_tui.tui.widgets.banner import Banner
from kobold_tui.tui.widgets.preset_rows import PresetRow
from kobold_tui.tui.widgets.row_list import RowList
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SMOL = model("SmolLM2")
LONG = f'name = "long"\nmodel = "{SMOL.path}"\n\n[load]\nn_ctx = 8192\n'
SHORT = f'name = "short"\ndescription = "quick"\nmodel = "{SMOL.path}"\n\n[load]\nn_ctx = 1024\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World([SMOL])
    made.keep_presets_in(tmp_path)
    write(tmp_path, "long", LONG)
    write(tmp_path, "short", SHORT)
    return made


def write(home: Path, name: str, text: str) -> Path:
    folder = home / "presets"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def rows(driver: Driver) -> dict[str, PresetRow]:
    found = driver.workbench.query("#presets-list").results(RowList)
    return {row.name: row for listed in found for row in listed.items}


def current(driver: Driver) -> str:
    row = driver.workbench.query_one("#presets-list", RowList).current
    return row.name if isinstance(row, PresetRow) else ""


def detail(driver: Driver) -> str:
    return str(driver.workbench.query_one("#presets-detail").render())


async def open_pane(driver: Driver, count: int = 2) -> None:
    await driver.pilot.press("f7")
    await driver.until(lambda: len(rows(driver)) == count)
    await driver.until(lambda: driver.workbench.query_one(PresetsPane).has_focus_within)


async def answer(driver: Driver, text: str) -> None:
    """Type a text in place of what stands in the window with one field."""
    await driver.until(lambda: isinstance(driver.pilot.app.screen, LineScreen))
    driver.pilot.app.screen.query_one(Input).value = text
    await driver.pilot.press("enter")
    await driver.until(lambda: not isinstance(driver.pilot.app.screen, LineScreen))


async def test_enter_loads_the_preset_with_its_settings(make_app: MakeApp, world: World) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("enter")
        await driver.until_state("Ready")
        assert driver.workbench.instance is not None
        assert driver.workbench.instance.spec.options.n_ctx == 8192
        await pilot.press("f7")
        await driver.until(lambda: rows(driver)["long"].is_loaded)
        assert not rows(driver)["short"].is_loaded


async def test_the_list_follows_files_and_says_what_is_wrong_with_a_broken_one(
    make_app: MakeApp, world: World, tmp_path: Path
) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        path = write(tmp_path, "wrong", 'name = "wrong"\n[load]\nn_ctx = 7\n')
        await driver.until(lambda: "wrong.toml" in rows(driver))
        await pilot.press("end")
        await driver.until(lambda: "n_ctx" in detail(driver))
        path.unlink()
        await driver.until(lambda: len(rows(driver)) == 2)


async def test_a_preset_changed_after_loading_is_marked_as_different(
    make_app: MakeApp, world: World, tmp_path: Path
) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("enter")
        await driver.until_state("Ready")
        await pilot.press("f7")
        assert rows(driver)["long"].differing == ()
        write(tmp_path, "long", LONG.replace("8192", "4096"))
        await driver.until(lambda: rows(driver)["long"].differing == ("load.n_ctx",))


async def test_what_is_loaded_becomes_a_preset(make_app: MakeApp, world: World) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("enter")
        await driver.until_state("Ready")
        await pilot.press("f7", "n")
        await answer(driver, "mine")
        await driver.until(lambda: "mine" in rows(driver) and current(driver) == "mine")
        stored = rows(driver)["mine"].stored
        assert stored is not None
        assert (stored.preset.model, stored.preset.load.n_ctx) == (SMOL.path, 8192)


async def test_a_copy_and_another_name(make_app: MakeApp, world: World, tmp_path: Path) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("c")
        await answer(driver, "twin")
        await driver.until(lambda: set(rows(driver)) == {"long", "short", "twin"})
        await driver.until(lambda: current(driver) == "twin")
        await pilot.press("m")
        await answer(driver, "other")
        await driver.until(lambda: set(rows(driver)) == {"long", "short", "other"})
        assert 'name = "other"' in (tmp_path / "presets" / "other.toml").read_text()


async def test_a_name_that_is_taken_is_told(make_app: MakeApp, world: World) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("m")
        await answer(driver, "short")
        await driver.until(lambda: driver.workbench.query_one(Banner).is_shown)
        assert set(rows(driver)) == {"long", "short"}


async def test_a_deletion_is_taken_back_byte_by_byte(make_app: MakeApp, world: World, tmp_path: Path) -> None:
    text = f"# mine\n{LONG}"
    path = write(tmp_path, "long", text)
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("d")
        await driver.until(lambda: set(rows(driver)) == {"short"})
        assert not path.exists()
        await pilot.press("u")
        await driver.until(lambda: set(rows(driver)) == {"long", "short"})
        assert path.read_text() == text


async def test_two_presets_are_compared(make_app: MakeApp, world: World) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("space", "down", "equals_sign")
        await driver.until(lambda: isinstance(pilot.app.screen, PresetCompareScreen))
        listed = pilot.app.screen.query_one(RowList)
        await driver.until(lambda: listed.items)
        assert [row.key for row in listed.items] == ["load.n_ctx"]
        assert "8192" in listed.render_line(0).text
        assert "1024" in listed.render_line(0).text


async def test_a_file_of_koboldcpp_is_explained_before_it_is_saved(
    make_app: MakeApp, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "story.kcpps"
    file.write_text('{"model_param": "/models/x.gguf", "contextsize": 4096, "onready": "rm -rf /"}')
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("i")
        await answer(driver, str(file))
        await driver.until(lambda: isinstance(pilot.app.screen, PresetReportScreen))
        listed = pilot.app.screen.query_one(RowList)
        shown = {getattr(row, "key", ""): getattr(row, "status", "") for row in listed.items}
        assert (shown["contextsize"], shown["onready"]) == ("mapped", "refused")
        assert set(rows(driver)) == {"long", "short"}
        await pilot.press("ctrl+s")
        await driver.until(lambda: "story" in rows(driver))
        stored = rows(driver)["story"].stored
        assert stored is not None
        assert stored.preset.load.n_ctx == 4096


async def test_an_export_asks_before_it_takes_the_place_of_a_file(
    make_app: MakeApp, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "out.kcpps"
    file.write_text("{}")
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver)
        await pilot.press("x")
        await answer(driver, str(file))
        await driver.until(lambda: isinstance(pilot.app.screen, ChoiceScreen))
        assert file.read_text() == "{}"
        await pilot.press("enter")
        await driver.until(lambda: isinstance(pilot.app.screen, PresetReportScreen))
        assert '"contextsize": 8192' in file.read_text()
