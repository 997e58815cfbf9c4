"""From a list of models to an answer, and what a person sees when something goes wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fake_world import World, model
from textual.pilot import Pilot

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.instance import InstanceId
from kobold_tui.engine.script import Fault, Script
from kobold_tui.tui.widgets.banner import Banner
from kobold_tui.tui.widgets.prompt import Prompt
from kobold_tui.tui.widgets.status_line import StatusLine
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SMOL, QWEN = model("SmolLM2"), model("Qwen3")


def status(driver: Driver) -> str:
    return "".join(text for text, _ in driver.workbench.query_one(StatusLine).left)


def banner_text(driver: Driver) -> str:
    banner = driver.workbench.query_one(Banner)
    return str(banner.render()) if banner.is_shown else ""


async def test_enter_loads_a_model_and_typing_gets_an_answer(make_app: MakeApp) -> None:
    world = World([SMOL])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        assert "SmolLM2" in status(driver)
        assert "ready" in status(driver)
        await driver.say("How are you?")
        await driver.until_answered()
        assert [(item.role, item.text) for item in driver.transcript.items] == [
            ("user", "How are you?"),
            ("assistant", "It is **well**."),
        ]
        assert [message.text for message in world.store.messages.values()] == [
            "How are you?",
            "It is **well**.",
        ]
        assert world.remembered == {"last_model": SMOL.path}


async def test_a_conversation_goes_on_where_it_was(make_app: MakeApp) -> None:
    world = World([SMOL])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("one")
        await driver.until_answered(1)
        await driver.say("two")
        await driver.until_answered(2)
        parents = [message.parent_id for message in world.store.messages.values()]
        ids = list(world.store.messages)
        assert parents == [None, *ids[:-1]]


async def test_what_is_sent_before_the_model_is_ready_is_stored_at_once_and_answered_later(
    make_app: MakeApp,
) -> None:
    world = World([SMOL])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await pilot.press("f4")
        await driver.until(lambda: isinstance(pilot.app.focused, Prompt))
        await driver.say("early")
        await driver.until(lambda: world.store.messages)
        assert [message.text for message in world.store.messages.values()] == ["early"]
        await pilot.press("f2")
        await driver.load()
        await driver.until_answered()
        assert driver.transcript.items[0].text == "early"


async def test_escape_stops_the_answer_and_keeps_what_had_arrived(make_app: MakeApp) -> None:
    world = World([SMOL], Script(reply="one two three", hold_answer_after=2))
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("go")
        await driver.until(lambda: driver.transcript.items and driver.transcript.items[-1].text == "one two")
        await pilot.press("escape")
        await driver.until_answered()
        last = driver.transcript.items[-1]
        assert (last.text, last.status) == ("one two", "interrupted")
        assert "stopped" in last.footer


async def test_typing_and_looking_around_work_while_an_answer_streams(make_app: MakeApp) -> None:
    world = World([SMOL], Script(reply="one two three", hold_answer_after=2))
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("go")
        await driver.until(lambda: driver.chat.replying)
        await pilot.press("f8")
        await driver.until(lambda: driver.workbench.pane == "logs")
        await pilot.press("f4", *"next")
        await driver.until(lambda: driver.workbench.query_one(Prompt).text == "next")
        assert driver.chat.replying
        await pilot.press("enter", "escape")
        await driver.until(lambda: len(driver.transcript.items) == 4)
        assert driver.transcript.items[2].text == "next"


async def test_a_dying_model_is_explained_and_restarted_by_one_key(make_app: MakeApp) -> None:
    world = World(
        [SMOL],
        Script(reply="one two three", at_answer=Fault(kind="abort", output="GGML_ASSERT(x)"), after_tokens=2),
    )
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("go")
        await driver.until_state("Failed")
        await driver.until_answered()
        assert driver.transcript.items[-1].text == "one two"
        assert "GGML_ASSERT(x)" in banner_text(driver)
        assert "restart" in banner_text(driver)
        world.engines[InstanceId("SmolLM2-Q4_1")].script = Script(reply="better")
        await pilot.press("ctrl+r")
        await driver.until_state("Ready")
        assert banner_text(driver) == ""
        await driver.say("again")
        await driver.until_answered(2)
        assert driver.transcript.items[-1].text == "better"


async def test_r_restarts_from_the_notice(make_app: MakeApp) -> None:
    world = World([SMOL])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        crash_later(world, pilot)
        await driver.until_state("Failed")
        await driver.until(lambda: banner_text(driver))
        driver.workbench.set_focus(driver.workbench.query_one(Banner))
        await pilot.press("r")
        await driver.until_state("Ready")


def crash_later(world: World, pilot: Pilot[int]) -> None:
    """End the model on its own loop, unasked."""
    backend = pilot.app.context.backend  # type: ignore[attr-defined]

    async def crash(_services: object) -> None:
        world.engines[InstanceId("SmolLM2-Q4_1")].crash()

    pilot.app.run_worker(backend.call(crash))


async def test_a_refused_load_says_why(make_app: MakeApp) -> None:
    failure = Failure(title="Cannot load", message="SmolLM2.gguf is truncated.", hint="Download it again.")
    async with make_app(World([SMOL], Script(refuse_load=failure))).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await pilot.press("enter")
        await driver.until_state("Failed")
        await driver.until(lambda: banner_text(driver))
        assert "SmolLM2.gguf is truncated. Download it again." in banner_text(driver)


async def test_escape_cancels_a_load(make_app: MakeApp) -> None:
    async with make_app(World([SMOL], Script(hold_load=True))).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await pilot.press("enter")
        await driver.until_state("Loading")
        await pilot.press("escape")
        await driver.until(lambda: "reading" not in status(driver) and "starting" not in status(driver))
        assert banner_text(driver) == ""


async def test_another_model_takes_the_place_and_the_conversation_stays(make_app: MakeApp) -> None:
    world = World([SMOL, QWEN])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("hello")
        await driver.until_answered()
        await pilot.press("f2", "down", "enter")
        await driver.until(lambda: "SmolLM2" in status(driver) and "ready" in status(driver))
        assert len(driver.transcript.items) == 2
        assert list(world.engines) == ["Qwen3-Q4_1", "SmolLM2-Q4_1"]
