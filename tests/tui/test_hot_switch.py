"""While another model loads, the one that is there goes on answering; what comes of it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fake_world import World, model

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.script import Script
from kobold_tui.tui.widgets.banner import Banner
from kobold_tui.tui.widgets.status_line import StatusLine
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SMOL, QWEN = model("SmolLM2"), model("Qwen3")
ID_SMOL, ID_QWEN = InstanceId("SmolLM2-Q4_1"), InstanceId("Qwen3-Q4_1")


class Two(World):
    """A world of two models; the second behaves as `second` says."""

    def __init__(self, second: Script) -> None:
        self.second = second
        super().__init__([QWEN, SMOL], make_engine=self._make)

    def _make(self, instance_id: InstanceId) -> FakeEngine:
        script = self.second if instance_id.startswith(ID_SMOL) else Script(reply="from Qwen")
        self.engines[instance_id] = FakeEngine(instance_id, script)
        return self.engines[instance_id]

    def release(self, driver: Driver) -> None:
        """Let the second model go on, on its own loop."""

        async def release(_services: object) -> None:
            self.engines[ID_SMOL].released.set()

        app = driver.pilot.app
        app.run_worker(app.context.backend.call(release))  # type: ignore[attr-defined]


def status(driver: Driver) -> str:
    return "".join(text for text, _ in driver.workbench.query_one(StatusLine).left)


def banner(driver: Driver) -> str:
    shown = driver.workbench.query_one(Banner)
    return str(shown.render()) if shown.is_shown else ""


async def begin_switch(driver: Driver) -> None:
    """Load the first model and choose the second."""
    await driver.load()
    await driver.pilot.press("f2", "down", "enter")
    await driver.until(lambda: driver.workbench.coming is not None)


async def test_the_old_model_answers_while_the_new_one_loads(make_app: MakeApp) -> None:
    world = Two(Script(hold_load=True, reply="from Smol"))
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await begin_switch(driver)
        assert "Qwen3  ready" in status(driver)
        assert "SmolLM2-Q4_1  " in status(driver)
        await driver.say("first")
        await driver.until_answered(1)
        world.release(driver)
        await driver.until(lambda: "SmolLM2  ready" in status(driver))
        await driver.say("second")
        await driver.until_answered(2)
        answers = [item.text for item in driver.transcript.items if item.role == "assistant"]
        assert answers == ["from Qwen", "from Smol"]
        await driver.until(lambda: [one.id for one in driver.workbench.instances] == [ID_SMOL])


async def test_escape_gives_the_new_model_up_and_the_old_one_stays(make_app: MakeApp) -> None:
    async with make_app(Two(Script(hold_load=True))).run_test() as pilot:
        driver = Driver(pilot)
        await begin_switch(driver)
        await pilot.press("escape")
        await driver.until(lambda: driver.workbench.coming is None)
        assert "Qwen3  ready" in status(driver)
        assert banner(driver) == ""
        await driver.say("still there?")
        await driver.until_answered()
        assert driver.transcript.items[-1].text == "from Qwen"


async def test_a_refused_model_is_explained_and_the_old_one_stays(make_app: MakeApp) -> None:
    refused = Failure(title="Cannot load", message="SmolLM2 is truncated.", hint="Download it again.")
    async with make_app(Two(Script(refuse_load=refused))).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await pilot.press("f2", "down", "enter")
        await driver.until(lambda: banner(driver))
        assert "SmolLM2 is truncated. Download it again." in banner(driver)
        assert "Qwen3  ready" in status(driver)


async def test_what_fits_nowhere_is_refused_in_figures_and_the_old_one_stays(make_app: MakeApp) -> None:
    world = Two(Script(hold_load=True))
    needs = MemoryEstimate(
        n_gpu_layers=0,
        n_layer=1,
        devices=(DeviceMemory(name="RAM", weights_bytes=10**12, is_host=True),),
    )
    world.estimates[SMOL.path] = needs
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await pilot.press("f2", "down", "enter")
        await driver.until(lambda: banner(driver))
        assert "SmolLM2-Q4_1 needs 931 GiB of RAM" in banner(driver)
        assert "Qwen3  ready" in status(driver)
