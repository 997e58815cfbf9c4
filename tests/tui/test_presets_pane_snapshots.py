"""What the presets, their form and several instances look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_world import GIB, World, model
from textual.pilot import Pilot

from kobold_tui.tui.screens.preset_form import PresetFormScreen
from kobold_tui.tui.screens.preset_import import PresetReportScreen
from tests.tui.conftest import Driver
from tests.tui.test_presets_pane import answer, open_pane, rows, write

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SIZES = [(80, 24), (120, 40), (200, 60)]
Compare = Callable[..., bool]
SMALL, LARGE = model("SmolLM2"), model("Qwen3 235B", size_bytes=130 * GIB)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = World([LARGE, SMALL], slow=True)
    made.keep_presets_in(tmp_path)
    write(tmp_path, "a", f'name = "quick answers"\ndescription = "For tests"\nmodel = "{SMALL.path}"\n')
    write(tmp_path, "b", f'name = "too large"\nmodel = "{LARGE.path}"\n[load]\nn_ctx = 16384\n')
    write(tmp_path, "c", 'name = "moved away"\nmodel = "/models/gone.gguf"\n')
    write(tmp_path, "d", 'name = "long context"\n[load]\nn_ctx = 32768\ntype_k = "q8_0"\n')
    write(tmp_path, "e", 'name = "broken"\n[load]\nn_ctxx = 7\n')
    return made


async def until_judged(driver: Driver) -> None:
    await open_pane(driver, 5)
    await driver.until(lambda: rows(driver)["too large"].fit.verdict == "no")
    await driver.until(lambda: rows(driver)["quick answers"].fit.verdict)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_list(make_app: MakeApp, snap_compare: Compare, world: World, size: tuple[int, int]) -> None:
    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await until_judged(driver)
        await pilot.press("space", "end")
        await driver.until_still()

    assert snap_compare(make_app(world), terminal_size=size, run_before=tell)


@pytest.mark.parametrize("size", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_form(make_app: MakeApp, snap_compare: Compare, world: World, size: tuple[int, int]) -> None:
    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await until_judged(driver)
        await pilot.press("e")
        await driver.until(lambda: isinstance(pilot.app.screen, PresetFormScreen))
        await pilot.press(*["down"] * 9, "enter", "x")
        await driver.until_still()

    assert snap_compare(make_app(world), terminal_size=size, run_before=tell)


def test_the_report_of_an_import(
    make_app: MakeApp, snap_compare: Compare, world: World, tmp_path: Path
) -> None:
    (tmp_path / "story.kcpps").write_text(
        '{"model_param": "/models/x.gguf", "contextsize": 4096, "onready": "rm -rf /", "gpulayers": -1}'
    )

    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await until_judged(driver)
        await pilot.press("i")
        await answer(driver, "~/story.kcpps")
        await driver.until(lambda: isinstance(pilot.app.screen, PresetReportScreen))
        await driver.until_still()

    assert snap_compare(make_app(world), terminal_size=SIZES[1], run_before=tell)


def test_two_instances(make_app: MakeApp, snap_compare: Compare, world: World) -> None:
    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await until_judged(driver)
        await pilot.press("end", "up", "up", "enter")
        await driver.until_state("Ready")
        await pilot.press("f7", "down", "b")
        await driver.until(lambda: len(driver.workbench.instances) == 2)
        await pilot.press("f7")
        await driver.until_still()

    assert snap_compare(make_app(world), terminal_size=SIZES[1], run_before=tell)
