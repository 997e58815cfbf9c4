"""The prompt: Enter sends, long pastes cost nothing, and the program keeps its keys."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import ClassVar

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from kobold_tui.tui.theming import variable_defaults
from kobold_tui.tui.widgets.prompt import Prompt


class Listener(App[None]):
    """Notes what the prompt sends and which keys reach the program."""

    BINDINGS: ClassVar[list[BindingType]] = [
        (key, f"note('{key}')", key) for key in ("escape", "f6", "f7", "ctrl+z", "pageup", "alt+up")
    ]

    def __init__(self) -> None:
        super().__init__()
        self.prompt = Prompt()
        self.sent: list[str] = []
        self.keys: list[str] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def compose(self) -> ComposeResult:
        yield self.prompt

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        self.sent.append(event.text)

    def action_note(self, key: str) -> None:
        self.keys.append(key)


@pytest.fixture
def app() -> Listener:
    return Listener()


async def test_enter_sends_and_empties_the_field(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("h", "i", "enter")
        assert app.sent == ["hi"]
        assert app.prompt.text == ""


async def test_nothing_is_sent_from_blanks(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("space", "enter")
        assert app.sent == []


async def test_ctrl_j_begins_a_new_line(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("a", "ctrl+j", "b", "enter")
        assert app.sent == ["a\nb"]


async def test_it_grows_with_its_text_up_to_ten_rows(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        assert app.prompt.content_size.height == 1
        for lines, rows in ((3, 3), (10, 10), (40, 10)):
            app.prompt.text = "\n".join("x" * lines)
            await pilot.pause()
            assert app.prompt.content_size.height == rows


async def test_it_leaves_half_of_a_small_screen(app: Listener) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        app.prompt.text = "x\n" * 40
        await pilot.pause()
        assert app.prompt.size.height <= 6


async def test_up_calls_up_what_was_sent_and_down_leads_back(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        app.prompt.set_history(["one", "two"])
        await pilot.press("up")
        assert app.prompt.text == "two"
        await pilot.press("up", "up")
        assert app.prompt.text == "one"
        await pilot.press("down")
        assert app.prompt.text == "two"
        await pilot.press("down")
        assert app.prompt.text == ""
        await pilot.press("n", "enter", "up")
        assert app.prompt.text == "n"


async def test_up_moves_the_cursor_in_a_text_of_ones_own(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        app.prompt.set_history(["one"])
        await pilot.press("a", "ctrl+j", "b", "up")
        assert app.prompt.text == "a\nb"
        assert app.prompt.cursor_location[0] == 0


@pytest.mark.parametrize("pasted", ["word " * 40_000, "line\n" * 40_000], ids=["one line", "many lines"])
async def test_a_long_paste_stands_aside_and_is_sent_whole(app: Listener, pasted: str) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.press("a", "space")
        started = perf_counter()
        app.post_message(events.Paste(pasted))
        await pilot.press("b")
        assert perf_counter() - started < 1.0
        assert app.prompt.text.startswith("a [paste 1: ")
        assert len(app.prompt.text) < 60
        await pilot.press("enter")
        assert app.sent == [f"a {pasted}b"]


async def test_a_short_paste_is_text(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        app.post_message(events.Paste("two\nlines"))
        await pilot.pause()
        assert app.prompt.text == "two\nlines"


async def test_keys_of_the_program_pass_through(app: Listener) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        keys = ["escape", "f6", "f7", "ctrl+z", "pageup", "alt+up"]
        await pilot.press("a", *keys)
        assert app.keys == keys
        assert app.prompt.text == "a"
        assert app.prompt.has_focus


async def test_the_placeholder_stands_in_an_empty_field(host: Callable[[Widget], App[None]]) -> None:
    prompt = Prompt(placeholder="Write something")
    async with host(prompt).run_test(size=(60, 24)):
        assert "Write something" in prompt.render_line(0).text
