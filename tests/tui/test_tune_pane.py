"""The tuning pane in the whole program: sliders move bars, and what is chosen is what is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import pytest
from fake_tuning import Measured
from fake_world import GIB, World, model
from model_shapes import header_of

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device, MemoryEstimate, predict, shape_of
from kobold_tui.domain.model import Header
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.tui.panes.tune import TunePane
from kobold_tui.tui.widgets.choice_strip import ChoiceStrip
from kobold_tui.tui.widgets.slider import Slider
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SIZE = (120, 40)
MIB = 1024**2


def card(index: int, total: float, free: float, *processes: GpuProcess) -> GpuSnapshot:
    return GpuSnapshot(
        index=index,
        uuid=f"GPU-{index}",
        name="NVIDIA A100",
        memory_total_bytes=int(total * GIB),
        memory_used_bytes=int((total - free) * GIB),
        memory_free_bytes=int(free * GIB),
        processes=processes,
    )


def world(header: Header, *cards: GpuSnapshot) -> World:
    """Return a world of one model, whose dry runs say 3 MiB more on each card than a first prediction."""
    entry = model("Llama", size_bytes=5 * GIB)
    made = World([entry], gpus=cards)
    made.accelerators = ("CUDA",) if cards else ()
    made.headers[entry.path] = header
    made.runner.measured = dry_runs_of(header)
    made.runner.can = msgspec.structs.replace(made.runner.can, virtual_cards=False)
    return made


def dry_runs_of(header: Header) -> Measured:
    """Return dry runs that say what a prediction says, and 3 MiB more on each card."""
    shape = shape_of(header)

    def measure(
        _spec: LoadSpec, options: LoadOptions, cards: tuple[VirtualCard, ...] | None
    ) -> MemoryEstimate:
        host = Device(name="RAM", free_bytes=None, is_host=True)
        others = [Device(name=each.name, free_bytes=each.free_bytes) for each in cards or ()]
        found = predict(shape, options, [host, *others])
        more = [
            row if row.is_host else msgspec.structs.replace(row, compute_bytes=row.compute_bytes + 3 * MIB)
            for row in found.devices
        ]
        return msgspec.structs.replace(found, devices=tuple(more), exact=True, is_supported=True)

    return measure


async def tuned(driver: Driver) -> TunePane:
    """Bring the pane into view and return it, with the model under the cursor."""
    await driver.until(lambda: driver.rows)
    await driver.pilot.press("f5")
    await driver.until(lambda: driver.workbench.tuning is not None and driver.workbench.query(TunePane))
    pane = driver.workbench.query_one(TunePane)
    await driver.until(lambda: isinstance(driver.workbench.focused, Slider))
    return pane


def weights(driver: Driver) -> list[int]:
    tuning = driver.workbench.tuning
    assert tuning is not None
    return [device.weights_bytes for device in tuning.estimate.cards]


async def test_a_slider_step_moves_the_bars_and_the_estimate_of_the_gauge(make_app: MakeApp) -> None:
    async with make_app(world(header_of("llama-8b"), card(0, 24, 22))).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        pane = await tuned(driver)
        bars, before = pane.text, weights(driver)
        await pilot.press("left")
        await driver.until(lambda: weights(driver) != before)
        assert weights(driver)[0] < before[0]
        assert pane.text != bars
        tuning = driver.workbench.tuning
        assert tuning is not None
        assert driver.workbench.estimate == tuning.estimate


async def test_a_card_without_room_is_named_in_words(make_app: MakeApp) -> None:
    cards = card(0, 24, 22), card(1, 8, 1)
    async with make_app(world(header_of("llama-8b"), *cards)).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        pane = await tuned(driver)
        driver.workbench.query_one("#tune-split").focus()
        await pilot.press("end")
        await driver.until(lambda: "DOES NOT FIT on CUDA1" in pane.text)
        assert "✗ OVER by" in pane.text
        assert "– not used" in pane.text


async def test_a_dry_run_follows_and_stands_beside_the_prediction(make_app: MakeApp) -> None:
    async with make_app(world(header_of("llama-8b"), card(0, 24, 22))).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        pane = await tuned(driver)
        await driver.until(lambda: "+3.00 MiB" in pane.text)
        await pilot.press("1", "2")
        await driver.until(
            lambda: driver.workbench.tuning is not None and driver.workbench.tuning.exact is not None
        )
        tuning = driver.workbench.tuning
        assert tuning is not None
        assert tuning.exact is not None
        assert tuning.options.n_gpu_layers == tuning.exact.n_gpu_layers == 12


async def test_the_pane_says_why_there_is_no_dry_run(make_app: MakeApp) -> None:
    made = world(header_of("llama-8b"), card(0, 24, 22))
    made.runner.failure = EngineError("No dry run", "This build has another layout.", "Update it.")
    async with make_app(made).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        pane = await tuned(driver)
        await driver.until(lambda: "No dry run: This build has another layout." in pane.text)


async def test_an_unknown_architecture_is_said_openly_and_shown_by_its_dry_run(make_app: MakeApp) -> None:
    known = header_of("llama-8b")
    metadata = {
        key.replace("llama.", "novelty."): "novelty" if key == "general.architecture" else value
        for key, value in known.metadata.items()
    }
    made = world(msgspec.structs.replace(known, metadata=metadata), card(0, 24, 22))
    async with make_app(made).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        pane = await tuned(driver)
        await driver.until(lambda: "✓ Fits" in pane.text)
        assert "is not known here" in pane.text
        assert "No proposal" in pane.text


async def test_other_hardware_is_planned_for_and_this_machine_again(make_app: MakeApp) -> None:
    async with make_app(world(header_of("llama-70b"), card(0, 24, 22))).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        pane = await tuned(driver)
        await driver.until(lambda: "DOES NOT FIT" in pane.text)
        await pilot.press("h", *"48G,48G", "enter")
        await driver.until(lambda: "✓ Fits" in pane.text)
        assert "CUDA1" in pane.text
        await pilot.press("h", "escape")
        await driver.until(lambda: "CUDA1" not in pane.text)


async def test_the_best_is_taken_over_by_its_key(make_app: MakeApp) -> None:
    async with make_app(world(header_of("llama-13b"), card(0, 12, 8))).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        pane = await tuned(driver)
        await driver.until(lambda: driver.workbench.tuning and driver.workbench.tuning.best)
        await pilot.press("b")
        await driver.until(lambda: "DOES NOT FIT on CUDA0" not in pane.text)
        tuning = driver.workbench.tuning
        assert tuning is not None
        assert tuning.best is not None
        assert tuning.options == tuning.best.options


async def test_fewer_cards_that_suffice_are_proposed_by_name(make_app: MakeApp) -> None:
    cards = card(0, 24, 22), card(1, 24, 20)
    async with make_app(world(header_of("llama-8b"), *cards)).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        await tuned(driver)
        await driver.until(lambda: driver.workbench.tuning and driver.workbench.tuning.best)
        assert driver.workbench.tuning is not None
        assert driver.workbench.tuning.best is not None
        (name,) = driver.workbench.tuning.best.options.devices
        await pilot.press("b")
        split = driver.workbench.query_one("#tune-split", ChoiceStrip)
        await driver.until(lambda: split.value == name)
        split.focus()
        await pilot.press("home")
        await driver.until(lambda: driver.workbench.tuning and driver.workbench.tuning.options.devices == ())


@pytest.mark.parametrize("keys", [("ctrl+s",), ("f2", "enter")])
async def test_what_is_tuned_is_what_is_loaded(make_app: MakeApp, keys: Iterable[str]) -> None:
    made = world(header_of("llama-8b"), card(0, 24, 22))
    async with make_app(made).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        await tuned(driver)
        await pilot.press("7")
        await driver.until(
            lambda: driver.workbench.tuning and driver.workbench.tuning.options.n_gpu_layers == 7
        )
        await pilot.press(*keys)
        await driver.until_state("Ready")
        assert driver.workbench.instance is not None
        assert driver.workbench.instance.spec.options.n_gpu_layers == 7


async def test_what_was_chosen_for_a_model_is_kept_while_another_is_looked_at(make_app: MakeApp) -> None:
    made = world(header_of("llama-8b"), card(0, 24, 22))
    other = model("Other", size_bytes=5 * GIB)
    made.models = (*made.models, other)
    made.headers[other.path] = header_of("llama-8b")
    async with make_app(made).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        await tuned(driver)
        first = driver.workbench.tuning
        assert first is not None
        await pilot.press("7", "f2", "down")
        await driver.until(
            lambda: driver.workbench.tuning and driver.workbench.tuning.launch.model != first.launch.model
        )
        assert driver.workbench.tuning is not None
        assert driver.workbench.tuning.options.n_gpu_layers == "auto"
        await pilot.press("up")
        await driver.until(
            lambda: driver.workbench.tuning and driver.workbench.tuning.options.n_gpu_layers == 7
        )


async def test_without_a_model_the_pane_says_what_to_do(make_app: MakeApp) -> None:
    async with make_app(World()).run_test(size=SIZE) as pilot:
        driver = Driver(pilot)
        await pilot.press("f5", "ctrl+s", "b", "down")
        await driver.until(lambda: driver.workbench.query("#tune-empty"))
        assert driver.workbench.query_one("#tune-empty").region
