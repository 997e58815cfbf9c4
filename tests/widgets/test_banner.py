"""The banner: hidden until there is something to say, and never more than text."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App
from textual.message import Message
from textual.widget import Widget

from kobold_tui.tui.widgets.banner import Banner


def shown(banner: Banner) -> str:
    return "\n".join(banner.render_line(y).text.rstrip() for y in range(banner.size.height))


async def test_it_takes_no_room_until_it_says_something(host: Callable[[Widget], App[None]]) -> None:
    banner = Banner()
    async with host(banner).run_test(size=(60, 12)) as pilot:
        assert banner.size.height == 0
        banner.show("warning", "No GPU", "The build cannot use the card.")
        await pilot.pause()
        assert shown(banner) == "! No GPU\nThe build cannot use the card.\nEsc dismisses this"
        banner.dismiss()
        await pilot.pause()
        assert banner.size.height == 0


async def test_a_crash_shows_the_log_as_text_and_offers_a_restart(
    host: Callable[[Widget], App[None]],
) -> None:
    banner = Banner()
    seen: list[Message] = []
    async with host(banner).run_test(size=(60, 12), message_hook=seen.append) as pilot:
        banner.show("error", "Crashed", "tiny.gguf ended.", lines=["[red]x[/red]", "\x1b[2J"], restart=True)
        await pilot.pause()
        assert shown(banner).split("\n") == [
            "✗ Crashed",
            "tiny.gguf ended.",
            "[red]x[/red]",
            "␛[2J",
            "ctrl+r restarts it; so does r here (Tab)",
        ]
        banner.focus()
        await pilot.press("r")
        assert any(isinstance(message, Banner.RestartRequested) for message in seen)


async def test_without_a_restart_it_never_takes_the_focus(host: Callable[[Widget], App[None]]) -> None:
    banner = Banner()
    seen: list[Message] = []
    async with host(banner).run_test(size=(60, 12), message_hook=seen.append) as pilot:
        banner.show("info", "Note", "Something.")
        await pilot.pause()
        banner.focus()
        assert not banner.has_focus
        await pilot.click(banner)
        assert not banner.is_shown
        assert any(isinstance(message, Banner.Dismissed) for message in seen)
