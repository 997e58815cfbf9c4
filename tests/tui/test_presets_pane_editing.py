"""Changing a preset: in the form, in the person's own editor, and what is asked before something is lost."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_world import World
from textual.widgets import Input

from kobold_tui.tui.screens.preset_form import Entry, PresetFormScreen
from kobold_tui.tui.screens.preset_question import ChoiceScreen
from kobold_tui.tui.widgets.row_list import RowList
from tests.tui.conftest import Driver
from tests.tui.test_presets_pane import LONG, SMOL, current, open_pane, rows, write

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World([SMOL])
    made.keep_presets_in(tmp_path)
    write(tmp_path, "long", LONG)
    return made


async def open_form(driver: Driver) -> RowList[Entry]:
    await open_pane(driver, 1)
    await driver.pilot.press("e")
    await driver.until(lambda: isinstance(driver.pilot.app.screen, PresetFormScreen))
    listed: RowList[Entry] = driver.pilot.app.screen.query_one(RowList)
    await driver.until(lambda: listed.items)
    return listed


async def enter(driver: Driver, listed: RowList[Entry], key: str, text: str) -> Entry:
    """Go to a field, put a text into it and return the row as it is then."""
    index = next(i for i, row in enumerate(listed.items) if row.field and row.field.key == key)
    listed.place(index)
    await driver.pilot.press("enter")
    driver.pilot.app.screen.query_one(Input).value = text
    await driver.until(lambda: listed.items[index].text == text)
    return listed.items[index]


async def test_the_form_says_beside_the_field_what_is_wrong_and_saves_what_is_right(
    make_app: MakeApp, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "presets" / "long.toml"
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        listed = await open_form(driver)
        row = await enter(driver, listed, "load.n_ctx", "12")
        assert "from 256" in row.wrong
        await pilot.press("ctrl+s")
        assert isinstance(pilot.app.screen, PresetFormScreen)
        assert path.read_text() == LONG
        row = await enter(driver, listed, "load.n_ctx", "2048")
        assert row.wrong == ""
        await pilot.press("ctrl+s")
        await driver.until(lambda: "n_ctx = 2048" in path.read_text())


async def test_escape_leaves_the_field_then_the_form_and_changes_nothing(
    make_app: MakeApp, world: World, tmp_path: Path
) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        listed = await open_form(driver)
        await enter(driver, listed, "load.n_ctx", "2048")
        await pilot.press("escape")
        assert listed.has_focus
        await pilot.press("escape")
        await driver.until(lambda: not isinstance(pilot.app.screen, PresetFormScreen))
        assert (tmp_path / "presets" / "long.toml").read_text() == LONG


@pytest.mark.parametrize("way", ["copy", "overwrite"])
async def test_comments_are_never_lost_unasked(
    make_app: MakeApp, world: World, tmp_path: Path, way: str
) -> None:
    path = write(tmp_path, "long", f"# mine\n{LONG}")
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        listed = await open_form(driver)
        await enter(driver, listed, "load.n_ctx", "2048")
        await pilot.press("ctrl+s")
        await driver.until(lambda: isinstance(pilot.app.screen, ChoiceScreen))
        assert "# mine" in path.read_text()
        await pilot.press(*(["enter"] if way == "copy" else ["right", "enter"]))
        if way == "copy":
            await driver.until(lambda: len(rows(driver)) == 2)
            assert "# mine" in path.read_text()
            await driver.until(lambda: current(driver) != "long")
        else:
            await driver.until(lambda: "n_ctx = 2048" in path.read_text())
            assert "# mine" not in path.read_text()


async def test_a_file_that_the_editor_broke_is_shown_to_its_writer_again(
    make_app: MakeApp, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, count = tmp_path / "editor", tmp_path / "count"
    script.write_text(
        "#!/bin/sh\n"
        f'if [ -e {count} ]; then sed -i "s/= 7/= 4096/" "$1"; else sed -i "s/= 8192/= 7/" "$1"; fi\n'
        f"touch {count}\n"
    )
    script.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(script))
    app = make_app(world)
    monkeypatch.setattr(app, "suspend", contextlib.nullcontext)
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await open_pane(driver, 1)
        await pilot.press("v")
        await driver.until(lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("enter")
        await driver.until(lambda: not isinstance(pilot.app.screen, ChoiceScreen))
        assert "n_ctx = 4096" in (tmp_path / "presets" / "long.toml").read_text()
        await driver.until(lambda: "long" in rows(driver))
