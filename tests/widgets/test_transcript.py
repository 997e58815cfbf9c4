"""The transcript as a reader meets it: what stands on the screen, and which place it keeps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from time import perf_counter

import pytest
from textual.app import App
from textual.pilot import Pilot

from kobold_tui.tui.widgets.transcript import Transcript, TranscriptItem

LIST = "\n".join(f"{number}. item {number} of the list" for number in range(1, 41))


def rows(transcript: Transcript) -> list[str]:
    return [transcript.render_line(y).text.rstrip() for y in range(transcript.size.height)]


def screen(transcript: Transcript) -> str:
    return "\n".join(rows(transcript))


def conversation(count: int) -> list[TranscriptItem]:
    return [
        TranscriptItem(number, "assistant" if number % 2 else "user", f"Message {number}.\n\n" + "word " * 60)
        for number in range(count)
    ]


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await pilot.pause(0.02)
    pytest.fail("the condition was not met within four seconds")


async def until_shown(pilot: Pilot[None], transcript: Transcript, text: str) -> None:
    await until(pilot, lambda: text in screen(transcript))


async def test_messages_are_told_apart_without_colours(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 20)):
        transcript.show(
            [
                TranscriptItem(1, "user", "What is it?\nIn short."),
                TranscriptItem(2, "assistant", "A **lamp**.", footer="42.7 tok/s", label="tiny"),
                TranscriptItem(3, "assistant", "Cut", status="interrupted"),
            ]
        )
        assert [row for row in rows(transcript) if row] == [
            "▌ What is it?",
            "▌ In short.",
            "  tiny",
            "  A lamp.",
            "  42.7 tok/s",
            "  Assistant",
            "  Cut",
            "  ■ interrupted · the text above is what had arrived",
        ]


async def test_a_stream_ends_as_the_finished_message_looks(app: App[None], transcript: Transcript) -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    text = f"# Title\n\n{LIST}\n\n```python\nx = 1\n```\n\n> quote\n\n{table}"
    done = TranscriptItem(2, "assistant", text, footer="done")
    async with app.run_test(size=(60, 30)) as pilot:
        transcript.show([TranscriptItem(2, "assistant", status="streaming")])
        for start in range(0, len(text), 7):
            transcript.stream(2, text[start : start + 7])
            if start % 70 == 0:
                await pilot.pause(0.02)
        transcript.finish(2, done)
        await pilot.pause()
        streamed = screen(transcript)
        transcript.show([done])
        await pilot.pause()
        assert streamed == screen(transcript)
        assert "done" in streamed


async def test_text_that_arrives_is_on_screen_and_says_that_it_goes_on(
    app: App[None], transcript: Transcript
) -> None:
    async with app.run_test(size=(60, 20)) as pilot:
        transcript.show([TranscriptItem(1, "assistant", status="streaming")])
        assert "waiting for the first words" in screen(transcript)
        transcript.stream(1, "Once upon")
        transcript.stream(1, " a time")
        assert transcript.items[-1].text == "Once upon a time"
        await until(pilot, lambda: "Once upon a time" in screen(transcript))
        assert "● writing" in screen(transcript)
        assert transcript.last_answer_text() == "Once upon a time"


@pytest.mark.parametrize("paged", [False, True])
async def test_the_view_follows_the_end_of_a_stream(
    app: App[None], transcript: Transcript, paged: bool
) -> None:
    transcript.page_scroll = paged
    transcript.frames_per_second = 200
    async with app.run_test(size=(60, 12)) as pilot:
        transcript.show([*conversation(6), TranscriptItem(9, "assistant", status="streaming")])
        for number in range(30):
            transcript.stream(9, f"line {number}\n\n")
            await until_shown(pilot, transcript, f"line {number}")
        assert transcript.follow


async def test_a_reader_who_scrolled_up_keeps_the_place(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        transcript.show([*conversation(30), TranscriptItem(99, "assistant", status="streaming")])
        transcript.focus()
        await pilot.press("pageup", "pageup")
        assert not transcript.follow
        before = rows(transcript)
        transcript.stream(99, LIST)
        await until(pilot, lambda: "↓ new" in rows(transcript)[-1])
        assert rows(transcript)[:-1] == before[:-1]
        await pilot.press("end")
        await until(pilot, lambda: "item 40" in screen(transcript))
        assert transcript.follow
        assert "↓ new" not in screen(transcript)


async def test_what_grows_out_of_view_makes_the_transcript_longer(
    app: App[None], transcript: Transcript
) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        transcript.show([*conversation(30), TranscriptItem(99, "assistant", status="streaming")])
        transcript.scroll_to(y=0)
        before = transcript.virtual_size.height
        transcript.stream(99, LIST)
        await until(pilot, lambda: transcript.virtual_size.height >= before + 40)
        assert transcript.scroll_offset.y == 0


async def test_following_again_is_announced(app: App[None], transcript: Transcript) -> None:
    seen: list[bool] = []
    async with app.run_test(
        size=(60, 12),
        message_hook=lambda m: seen.append(m.follow) if isinstance(m, Transcript.FollowChanged) else None,
    ) as pilot:
        transcript.show(conversation(30))
        transcript.focus()
        await pilot.press("home")
        await pilot.press("end")
        await pilot.pause()
        assert [follow for follow, _ in groupby(seen)] == [True, False, True]


async def test_scrolling_up_through_messages_never_seen_shows_every_row_once(
    app: App[None], transcript: Transcript
) -> None:
    items = [
        TranscriptItem(n, "assistant", "\n\n".join(f"row {n}-{k}" for k in range(n % 7 + 1)))
        for n in range(25)
    ]
    expected = [f"row {n}-{k}" for n in range(25) for k in range(n % 7 + 1)]
    async with app.run_test(size=(60, 10)):
        transcript.show(items)
        transcript.focus()
        met: list[str] = []
        while True:
            found = [row.strip() for row in rows(transcript) if row.strip().startswith("row")]
            met = [*(row for row in found if row not in met), *met]
            if transcript.scroll_offset.y == 0:
                break
            before = rows(transcript)
            transcript.scroll_to(y=transcript.scroll_offset.y - 1)
            assert rows(transcript)[1:] == before[:-1]
        assert met == expected


async def test_the_width_may_change_under_the_reader(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(100, 20)) as pilot:
        transcript.show(conversation(200))
        transcript.focus()
        for _ in range(8):
            await pilot.press("pageup")
        top = next(row for row in rows(transcript) if "Message" in row)
        await pilot.resize_terminal(50, 20)
        await until(pilot, lambda: transcript.size.width <= 50)
        assert top in rows(transcript)
        assert all(len(row) <= 49 for row in rows(transcript))


async def test_thousands_of_messages_open_at_once(app: App[None], transcript: Transcript) -> None:
    items = conversation(5_000)
    async with app.run_test(size=(120, 40)) as pilot:
        transcript.show(items[:10])
        started = perf_counter()
        transcript.show(items)
        opened = perf_counter() - started
        assert "Message 4999" in screen(transcript)
        assert opened < 1.0
        transcript.focus()
        await pilot.press("home")
        assert "Message 0" in screen(transcript)


async def test_thinking_is_folded_until_it_is_asked_for(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 20)) as pilot:
        transcript.show([TranscriptItem(1, "assistant", "So.", reasoning="because of reasons")])
        transcript.focus()
        assert "▸ thought for 3 words" in screen(transcript)
        assert "because" not in screen(transcript)
        await pilot.press("t")
        assert "▾ thought for 3 words" in screen(transcript)
        assert "because of reasons" in screen(transcript)
        await pilot.press("t")
        assert "because" not in screen(transcript)


async def test_messages_are_marked_by_keyboard(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 12)) as pilot:
        transcript.show(conversation(20))
        transcript.focus()
        await pilot.press("alt+up", "alt+up", "alt+up")
        assert transcript.selected == 17
        assert any(row.startswith("┃ Message 17") for row in rows(transcript))
        await pilot.press("alt+down", "alt+down", "alt+down")
        assert transcript.selected is None
        assert "┃" not in screen(transcript)
        assert transcript.follow


async def test_colours_follow_the_theme(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 20)) as pilot:
        transcript.show([TranscriptItem(1, "assistant", "```python\nimport os\n```")])
        await pilot.pause()

        def colours() -> list[object]:
            return [segment.style for segment in transcript.render_line(2)]

        dark = colours()
        app.theme = "textual-light"
        await until(pilot, lambda: colours() != dark)


async def test_a_frame_of_a_long_answer_costs_no_more_than_one_of_a_short(
    app: App[None], transcript: Transcript
) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        transcript.show([TranscriptItem(1, "assistant", status="streaming")])
        transcript.stream(1, "```python\n")
        drawn: list[int] = []
        layout = transcript._layout
        for number in range(20):
            lines = range(number * 20, number * 20 + 20)
            transcript.stream(1, "".join(f"value = compute({line})\n" for line in lines))
            before = layout.drawn_rows
            await until_shown(pilot, transcript, f"compute({lines[-1]})")
            drawn.append(layout.drawn_rows - before)
        assert max(drawn[15:]) <= 2 * max(drawn[:8])
