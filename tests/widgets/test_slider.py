"""The slider and the row of words: every way to set them, what they say, and what they look like."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from textual.app import App
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.widget import Widget

from kobold_tui.tui.widgets.choice_strip import ChoiceStrip
from kobold_tui.tui.widgets.slider import GAP, LABEL, VALUE, Slider

TRACK = LABEL + VALUE + GAP
MakeHost = Callable[[Widget], App[None]]


class Both(Vertical):
    """A slider of 0 to 40 and a row of three words, and what they have told."""

    def __init__(self) -> None:
        self.slider = Slider("Layers", range(41), has_auto=True)
        self.strip = ChoiceStrip("Cache", ("auto", "f16", "q8_0"))
        self.told: list[object] = []
        super().__init__(self.slider, self.strip)

    def on_slider_changed(self, event: Slider.Changed) -> None:
        self.told.append(event.value)

    def on_choice_strip_changed(self, event: ChoiceStrip.Changed) -> None:
        self.told.append(event.value)


@pytest.fixture
def both() -> Both:
    return Both()


@pytest_asyncio.fixture
async def pilot(both: Both, host: MakeHost) -> AsyncIterator[Pilot[None]]:
    async with host(both).run_test(size=(74, 5)) as pilot:
        both.slider.show(range(41), 20)
        both.slider.focus()
        await pilot.pause()
        yield pilot


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("right", 21),
        ("left", 19),
        ("ctrl+right", 24),
        ("shift+left", 16),
        ("pageup", 24),
        ("pagedown", 16),
        ("home", 0),
        ("end", 40),
        ("a", None),
    ],
)
async def test_each_key_sets_its_value_and_tells(
    both: Both, pilot: Pilot[None], key: str, value: int | None
) -> None:
    await pilot.press(key)
    assert both.slider.value == value
    assert both.told == [value]


async def test_a_step_beyond_an_end_stays_and_tells_nothing(both: Both, pilot: Pilot[None]) -> None:
    await pilot.press("end", "right", "right")
    assert both.told == [40]


async def test_digits_are_a_value_at_once_and_one_too_large_becomes_the_most(
    both: Both, pilot: Pilot[None]
) -> None:
    await pilot.press("3", "7")
    assert both.slider.value == 37
    await pilot.press("9", "enter")
    assert both.slider.value == 40
    assert "379" not in both.slider.text


async def test_a_typed_value_between_two_steps_stands_and_the_next_step_is_the_next_one(
    both: Both, pilot: Pilot[None]
) -> None:
    both.slider.show((256, 512, 1024, 2048), 512)
    await pilot.press(*"700", "enter")
    assert both.slider.value == 700
    await pilot.press("right")
    assert both.slider.value == 1024
    both.slider.show((256, 512, 1024, 2048), 700)
    await pilot.press("left")
    assert both.slider.value == 512


async def test_the_mouse_clicks_drags_and_scrolls(both: Both, pilot: Pilot[None]) -> None:
    await pilot.click(both.slider, offset=(TRACK, 0))
    assert both.slider.value == 0
    await pilot.mouse_down(both.slider, offset=(TRACK + 10, 0))
    await pilot.hover(both.slider, offset=(73, 0))
    await pilot.mouse_up(both.slider, offset=(73, 0))
    assert both.slider.value == 40
    await pilot.hover(both.slider, offset=(TRACK + 5, 0))
    assert both.slider.value == 40


async def test_auto_shows_what_it_comes_to_and_a_step_begins_there(both: Both, pilot: Pilot[None]) -> None:
    both.slider.show(range(41), None, 33)
    assert "auto 33" in both.slider.text
    await pilot.press("left")
    assert both.slider.value == 32


async def test_the_track_grows_by_eighths_of_a_cell(both: Both, pilot: Pilot[None]) -> None:
    both.slider.show(range(321), 0)
    drawn = []
    for _ in range(9):
        drawn.append(both.slider.text[TRACK:].rstrip("─"))
        await pilot.press("right")
    assert drawn == ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"]


async def test_a_disabled_slider_takes_no_keys(both: Both, pilot: Pilot[None]) -> None:
    both.slider.disabled = True
    await pilot.press("right")
    await pilot.click(both.slider, offset=(TRACK, 0))
    assert both.slider.value == 20


async def test_values_from_outside_are_shown_and_not_told_back(both: Both, pilot: Pilot[None]) -> None:
    both.slider.show(range(41), 5)
    both.strip.show("q8_0")
    await pilot.pause()
    assert both.told == []


async def test_a_word_is_chosen_by_keys_and_mouse_and_stands_in_brackets(
    both: Both, pilot: Pilot[None]
) -> None:
    both.strip.focus()
    await pilot.press("right")
    assert "[f16]" in both.strip.text
    await pilot.click(both.strip, offset=(both.strip.text.index("q8_0"), 0))
    await pilot.press("a", "left", "end")
    assert both.told == ["f16", "q8_0", "auto", "q8_0"]


async def test_the_chosen_word_is_in_view_where_not_all_fit(both: Both, pilot: Pilot[None]) -> None:
    words = tuple(f"word-{number}" for number in range(30))
    both.strip.show("word-17", words)
    await pilot.pause()
    assert "[word-17]" in both.strip.text
    assert "‹" in both.strip.text
    assert "›" in both.strip.text
