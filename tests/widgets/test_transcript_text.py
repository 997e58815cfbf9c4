"""What stands in the rows of the transcript: harmless, as wide as the view, and there to be copied."""

from __future__ import annotations

import pytest
from textual.app import App
from textual.geometry import Offset
from textual.selection import SELECT_ALL, Selection

from kobold_tui.tui.widgets.transcript import Transcript, TranscriptItem


def screen(transcript: Transcript) -> str:
    return "\n".join(transcript.render_line(y).text.rstrip() for y in range(transcript.size.height))


async def test_hostile_text_stays_text(app: App[None], transcript: Transcript) -> None:
    text = "\x1b[2J\x1b]0;x\x07 <b>bold</b> [bold]x[/bold] [a](javascript:alert)\n\n[1]: http://example.org"
    async with app.run_test(size=(60, 20)):
        transcript.show([TranscriptItem(1, "assistant", text), TranscriptItem(2, "user", text)])
        shown = screen(transcript)
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert shown.count("<b>bold</b>") == 2
        assert shown.count("[bold]x[/bold]") == 2
        assert shown.count("[1]: http://example.org") == 2


@pytest.mark.parametrize("text", ["漢字" * 40, "👨‍👩‍👧👍🏽❤️" * 20, "e\u0301" * 90, "שלום " * 30, "a\tb" * 30])
async def test_every_row_is_as_wide_as_the_view(app: App[None], transcript: Transcript, text: str) -> None:
    async with app.run_test(size=(40, 20)):
        transcript.show([TranscriptItem(1, "assistant", text), TranscriptItem(2, "user", text)])
        strips = [transcript.render_line(y) for y in range(transcript.size.height)]
        assert {strip.cell_length for strip in strips} == {transcript.scrollable_content_region.width}
        assert all(sum(segment.cell_length for segment in strip) == strip.cell_length for strip in strips)


async def test_selected_rows_are_copied_without_the_bar(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 20)):
        transcript.show([TranscriptItem(1, "user", "first\nsecond\nthird")])
        part = transcript.get_selection(Selection(Offset(4, 1), Offset(5, 2)))
        assert part is not None
        assert part[0] == "rst\nsec"
        whole = transcript.get_selection(SELECT_ALL)
        assert whole is not None
        assert whole[0] == "first\nsecond\nthird"


async def test_dragging_the_mouse_selects_text(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 20)) as pilot:
        transcript.show([TranscriptItem(1, "user", "first\nsecond\nthird")])
        await pilot.pause()
        await pilot.mouse_down(transcript, offset=(2, 1))
        await pilot.hover(transcript, offset=(8, 2))
        await pilot.mouse_up(transcript, offset=(8, 2))
        assert app.screen.get_selected_text() == "first\nsecond"


async def test_code_blocks_of_a_message_can_be_had(app: App[None], transcript: Transcript) -> None:
    async with app.run_test(size=(60, 20)):
        transcript.show([TranscriptItem(1, "assistant", "Run\n```sh\nls -l\n```\nthen\n```\nx\n```")])
        assert transcript.code_blocks(1) == ["ls -l", "x"]
