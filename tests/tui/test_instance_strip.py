"""Several models at once: the strip tells them apart, and keys and clicks go from one to the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_world import GIB, World, model
from msgspec.structs import replace

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.instance import Failed, Instance, InstanceId, LoadSpec, Starting, Stopped
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.tui.widgets.instance_strip import InstanceStrip, instance_parts, rates_of, shown
from tests.tui.conftest import Driver
from tests.tui.test_presets_pane import open_pane

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SMOL, QWEN = model("SmolLM2"), model("Qwen3")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World([QWEN, SMOL])
    made.keep_presets_in(tmp_path)
    (tmp_path / "presets").mkdir()
    for name, entry in (("one", SMOL), ("two", QWEN)):
        (tmp_path / "presets" / f"{name}.toml").write_text(f'name = "{name}"\nmodel = "{entry.path}"\n')
    return made


def strip(driver: Driver) -> str:
    shown_strip = driver.workbench.query_one(InstanceStrip)
    return shown_strip.render_line(0).text if shown_strip.display else ""


def answering(driver: Driver) -> str:
    launch = driver.workbench.launch
    return launch.preset.name if launch is not None else ""


async def load_both(driver: Driver) -> None:
    await open_pane(driver)
    await driver.pilot.press("enter")
    await driver.until_state("Ready")
    assert strip(driver) == ""
    await driver.pilot.press("f7", "down", "b")
    await driver.until(lambda: answering(driver) == "two")


async def test_a_second_model_runs_beside_the_first_and_keys_choose(make_app: MakeApp, world: World) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await load_both(driver)
        await driver.until(lambda: "1 ● SmolLM2-Q4_1" in strip(driver) and "2 ● Qwen3-Q4_1" in strip(driver))
        await pilot.press("alt+1")
        await driver.until(lambda: answering(driver) == "one")
        await driver.say("hello")
        await driver.until_answered()
        served = {one.id: one.tokens_served for one in driver.workbench.instances}
        assert served[InstanceId("SmolLM2-Q4_1")] > 0
        assert served[InstanceId("Qwen3-Q4_1")] == 0


async def test_a_click_chooses(make_app: MakeApp, world: World) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await load_both(driver)
        await driver.until(lambda: strip(driver))
        await pilot.click(InstanceStrip, offset=(6, 0))
        await driver.until(lambda: answering(driver) == "one")


async def test_unloading_what_answers_goes_on_with_the_other(make_app: MakeApp, world: World) -> None:
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await load_both(driver)
        await pilot.press("alt+u")
        await driver.until(lambda: answering(driver) == "one")
        await driver.until(lambda: [one.id for one in driver.workbench.instances] == ["SmolLM2-Q4_1"])
        assert strip(driver) == ""


def instance(name: str, **facts: object) -> Instance:
    made = Instance(id=InstanceId(name), spec=LoadSpec(path=f"/{name}.gguf"), state=Stopped())
    return replace(made, **facts)


def test_speed_is_what_was_made_since_the_last_look() -> None:
    both = (instance("a", tokens_served=150), instance("b", tokens_served=7))
    assert rates_of({InstanceId("a"): 100, InstanceId("b"): 7}, both, 2.0) == {"a": 25.0}


def test_an_instance_that_was_not_seen_before_has_no_speed() -> None:
    assert rates_of({}, (instance("a", tokens_served=150),), 1.0) == {}


def test_cards_and_bytes_are_told_while_it_runs() -> None:
    devices = (DeviceMemory(name="CUDA1", weights_bytes=3 * GIB), DeviceMemory(name="RAM", is_host=True))
    estimate = MemoryEstimate(n_gpu_layers=5, n_layer=4, devices=devices)
    running = instance("a", estimate=estimate, state=Starting())
    text = "".join(part for part, _ in instance_parts(1, running, 42.0, is_here=True))
    assert text == " 1 ◐ a GPU1 3.00 GiB 42.0 tok/s  "
    parked = instance("a", estimate=estimate, is_parked=True)
    assert "GiB" not in "".join(part for part, _ in instance_parts(1, parked, 0.0, is_here=False))


def test_what_has_no_room_is_counted() -> None:
    cells = [instance_parts(number, instance("x" * 10), 0.0, is_here=False) for number in range(1, 6)]
    text = "".join(part for cell in shown(cells, 45) for part, _ in cell)
    assert text.endswith("+3")
    assert len(text) <= 45


def test_control_characters_of_a_name_stay_out_of_the_terminal() -> None:
    bad = instance("a\x1b[31m", state=Failed(Failure(title="x", message="y")))
    assert "\x1b" not in "".join(part for part, _ in instance_parts(1, bad, 0.0, is_here=False))
