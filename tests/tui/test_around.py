"""What stands around a conversation: notices, help, the palette, copying, and terminals of every size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_world import GIB, World, model
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.events import Paste

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.domain.model import ModelFault
from kobold_tui.engine.script import Script
from kobold_tui.services.clipboard import CopyResult
from kobold_tui.services.options import StartOptions
from kobold_tui.tui.panes.logs import INDENT, wrapped
from kobold_tui.tui.panes.memory import MemoryPane
from kobold_tui.tui.screens.help import HelpScreen
from kobold_tui.tui.screens.workbench import Workbench
from kobold_tui.tui.widgets.banner import Banner
from kobold_tui.tui.widgets.fit_text import safe
from kobold_tui.tui.widgets.key_bar import KeyBar
from kobold_tui.tui.widgets.prompt import Prompt
from kobold_tui.tui.widgets.row_list import RowList
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


async def test_u_unloads(make_app: MakeApp) -> None:
    async with make_app(World([SMOL])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await pilot.press("f2", "u")
        await driver.until(lambda: "no model loaded" in status(driver))


async def test_a_new_chat_is_empty_and_the_old_one_can_be_opened(make_app: MakeApp) -> None:
    async with make_app(World([SMOL])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("hello")
        await driver.until_answered()
        await pilot.press("ctrl+n")
        assert driver.transcript.items == []
        await pilot.press("ctrl+o")
        await driver.until(lambda: pilot.app.screen.query("RowList"))
        await driver.until(lambda: pilot.app.screen.query_one("RowList").items)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await driver.until(lambda: len(driver.transcript.items) == 2)


async def test_a_card_that_the_library_cannot_use_is_said_aloud(make_app: MakeApp) -> None:
    card = GpuSnapshot(
        index=0,
        uuid="GPU-1",
        name="H200",
        memory_total_bytes=141 * GIB,
        memory_used_bytes=GIB,
        utilization_percent=3,
    )
    async with make_app(World([SMOL], gpus=(card,))).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: banner_text(driver))
        assert "The GPU is not used" in banner_text(driver)
        assert "pip install it" in banner_text(driver)
        pane = driver.workbench.query_one(MemoryPane)
        await driver.until(lambda: "H200" in pane.text or "GPU" in pane.text)
        assert "1.0/141.0" in pane.text


async def test_a_machine_without_a_card_has_no_such_notice(make_app: MakeApp) -> None:
    async with make_app(World([SMOL])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        assert banner_text(driver) == ""


async def test_a_broken_file_is_listed_with_its_reason(make_app: MakeApp) -> None:
    fault = ModelFault(path="/models/broken.gguf", reason="The file is truncated.")
    async with make_app(World([fault])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        detail = str(driver.workbench.query_one("#models-detail").render())
        assert "The file is truncated." in detail
        await pilot.press("enter")
        await driver.until(lambda: banner_text(driver))
        assert "broken.gguf" in banner_text(driver)
        await pilot.press("escape")
        await driver.until(lambda: banner_text(driver) == "")


async def test_without_models_the_list_says_what_to_do(make_app: MakeApp) -> None:
    async with make_app(World([])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.workbench.query_one("#models-empty").display)


async def test_the_last_answer_is_copied_by_the_copy_service(make_app: MakeApp) -> None:
    copied: list[str] = []

    def copy(text: str) -> CopyResult:
        copied.append(text)
        return CopyResult(route="tmux", detail="Copied to tmux.")

    world = World([SMOL], Script(reply="Look:\n\n```py\nprint(1)\n```\n"))
    async with make_app(world, copy=copy).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("code")
        await driver.until_answered()
        await pilot.press("alt+c", "alt+x")
        await driver.until(lambda: len(copied) == 2)
        assert (
            sorted(copied) == sorted([world.script.reply.rstrip() + "\n", "print(1)"])
            or copied[1].strip() == "print(1)"
        )


async def test_the_first_ctrl_c_never_quits_and_ctrl_q_does(make_app: MakeApp) -> None:
    app = make_app(World([SMOL]))
    async with app.run_test() as pilot:
        await pilot.press("ctrl+c")
        assert app.is_running
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert app.return_code == 0


async def test_f1_explains_the_pane_with_the_keys_and_closes_again(make_app: MakeApp) -> None:
    app = make_app(World([SMOL]))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await pilot.press("f4")
        await driver.until(lambda: driver.workbench.pane == "chat")
        await pilot.press("f1")
        await driver.until(lambda: isinstance(app.screen, HelpScreen))
        text = "\n".join(str(each.render()) for each in app.screen.query("Static"))
        assert "Start a new conversation" in text
        assert "Models: find and load models" in text
        await pilot.press("f1")
        await driver.until(lambda: isinstance(app.screen, Workbench))


async def test_the_palette_reaches_panes_and_their_commands(make_app: MakeApp) -> None:
    app = make_app(World([SMOL]))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await pilot.press("ctrl+p", *"go to logs")
        await driver.until(lambda: app.screen.query("OptionList Option, OptionList"))
        await pilot.pause(0.3)
        await pilot.press("enter")
        await driver.until(lambda: driver.workbench.pane == "logs")


async def test_a_model_named_on_the_command_line_stands_under_the_cursor(make_app: MakeApp) -> None:
    app = make_app(World([SMOL, QWEN]), StartOptions(model="smol"))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        rows = driver.workbench.query_one("#models-list", RowList)
        await driver.until(lambda: rows.current == SMOL)
        assert driver.workbench.instance is None


async def test_an_unknown_name_on_the_command_line_is_told(make_app: MakeApp) -> None:
    app = make_app(World([SMOL, QWEN]), StartOptions(model="nothing", load=True))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: banner_text(driver))
        assert "No model is called 'nothing'" in banner_text(driver)


async def test_a_model_named_on_the_command_line_is_loaded_at_once(make_app: MakeApp) -> None:
    app = make_app(World([SMOL, QWEN]), StartOptions(model="qwen", load=True))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await driver.until_state("Ready")
        assert "Qwen3" in status(driver)


@pytest.mark.parametrize(("width", "side", "main"), [(80, True, False), (120, True, True), (200, True, True)])
async def test_a_narrow_terminal_shows_one_side_at_a_time(
    make_app: MakeApp, width: int, side: bool, main: bool
) -> None:
    async with make_app(World([SMOL])).run_test(size=(width, 24)) as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.workbench.pane == "models")
        assert driver.workbench.query_one("#side").display == side
        assert driver.workbench.query_one("#main").display == main
        await pilot.press("f4")
        await driver.until(lambda: driver.workbench.pane == "chat")
        assert driver.workbench.query_one("#main").display
        assert driver.workbench.query_one("#side").display == (width >= 100)


async def test_resizing_while_an_answer_streams_leaves_everything_alive(make_app: MakeApp) -> None:
    world = World([SMOL], Script(reply="one two three", hold_answer_after=2))
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.say("go")
        await driver.until(lambda: driver.chat.replying)
        for width, height in [(40, 10), (200, 60), (20, 5), (1, 1), (80, 24)]:
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        await pilot.press("escape")
        await driver.until_answered()
        assert driver.workbench.query_one(KeyBar).size.width == 80


@given(st.text(max_size=200), st.integers(8, 60))
def test_long_log_lines_are_wrapped_and_nothing_is_lost(line: str, width: int) -> None:
    rows = wrapped(line, width)
    assert all(cell_len(row) <= width for row in rows)
    joined = rows[0] + "".join(row.removeprefix(INDENT) for row in rows[1:])
    assert joined.replace(" ", "") == safe(line).replace(" ", "")


KEYS = [
    *(f"f{number}" for number in range(1, 13)),
    *(f"ctrl+{letter}" for letter in "abcdefghijklmnoprstuvwxy"),
    *(f"alt+{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "tab", "shift+tab", "escape"),
    *(
        "ctrl+home",
        "ctrl+end",
        "ctrl+left",
        "ctrl+right",
        "delete",
        "backspace",
        "space",
        "enter",
        "x",
        "r",
        "u",
    ),
]


async def press_all(make_app: MakeApp, pane: str, keys: list[str]) -> None:
    """Press every key in a pane; the program must be alive and usable afterwards."""
    app = make_app(World([SMOL, QWEN]))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        for key in keys:
            await pilot.press(pane, key)
            if len(app.screen_stack) > 1:
                await pilot.press("escape")
        await pilot.press("escape", "f4")
        await driver.until(lambda: driver.workbench.pane == "chat")
        assert app.is_running


async def test_no_key_of_ours_harms_the_program(make_app: MakeApp) -> None:
    await press_all(
        make_app, "f4", ["f1", "f8", "ctrl+n", "ctrl+o", "ctrl+r", "alt+c", "alt+x", "escape", "tab", "enter"]
    )


@pytest.mark.soak
@pytest.mark.parametrize("pane", ["f2", "f3", "f4", "f8"])
async def test_no_key_anywhere_harms_the_program(make_app: MakeApp, pane: str) -> None:
    await press_all(make_app, pane, KEYS)


async def test_a_long_paste_is_sent_whole(make_app: MakeApp) -> None:
    world, pasted = World([SMOL]), "word " * 40_000
    app = make_app(world)
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        app.post_message(Paste(pasted))
        await driver.until(lambda: driver.workbench.query_one(Prompt).text)
        await pilot.press("enter")
        await driver.until_answered()
        assert next(iter(world.store.messages.values())).text == pasted
