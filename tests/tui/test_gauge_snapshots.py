"""What the gauge looks like, at three sizes and with one, two and eight cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from fake_world import model
from gauge_world import NOW, GaugeWorld, card, telemetry
from textual.pilot import Pilot

from kobold_tui.tui.panes.gpus import GpusPane
from kobold_tui.tui.panes.models import ModelsPane
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SIZES = [(80, 24), (120, 40), (200, 60)]
CARDS = {
    1: (card(0),),
    2: (card(0), card(1)),
    8: (*(card(index) for index in range(7)), card(7, stale_since=NOW - 42, fault="GPU is lost")),
}

Compare = Callable[..., bool]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("count", CARDS)
def test_the_page(make_app: MakeApp, snap_compare: Compare, count: int, size: tuple[int, int]) -> None:
    world = GaugeWorld(telemetry(CARDS[count]), [model("Lantern 30B A3B Instruct")])
    world.accelerators = ("CUDA",)

    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await driver.until(lambda: driver.workbench.reading is not None)
        await pilot.press("f3")
        await driver.until(lambda: "GiB" in next((one.text for one in driver.workbench.query(GpusPane)), ""))
        driver.workbench.query_one(ModelsPane).display = False  # its looks are tested elsewhere
        await driver.until_still()

    assert snap_compare(make_app(world), terminal_size=size, run_before=tell)
