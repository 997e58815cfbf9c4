"""The download window as a person uses it: search, look, choose, stop, go on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from fake_hub import GIB, FakeHub, item
from fake_world import World
from textual.app import App
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.hub import DownloadRequest, HubFile, HubItem, HubListing, HubRepo, Progress
from kobold_tui.tui import app as app_module
from kobold_tui.tui.app import KoboldApp
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.registry import find_panes
from kobold_tui.tui.screens.download import DownloadScreen
from kobold_tui.tui.screens.help import HelpScreen
from kobold_tui.tui.theming import variable_defaults
from kobold_tui.tui.widgets.download_lines import DownloadLines, draw_job
from kobold_tui.tui.widgets.download_rows import draw_item, draw_repo, item_heading, repo_heading
from kobold_tui.tui.widgets.row_list import RowList


class Window:
    """The window and the keys that reach it."""

    def __init__(self, pilot: Pilot[int], hub: FakeHub) -> None:
        self.pilot = pilot
        self.hub = hub

    @property
    def screen(self) -> DownloadScreen:
        screen = self.pilot.app.screen
        assert isinstance(screen, DownloadScreen)
        return screen

    @property
    def note(self) -> str:
        """The sentence below the list."""
        return str(self.screen.query_one("#download-note", Static).render())

    @property
    def lines(self) -> list[str]:
        """The lines of downloads."""
        jobs = self.screen.query_one(DownloadLines).jobs
        return ["".join(text for text, _ in draw_job(job, 100)) for job in jobs]

    def rows(self, name: str) -> list[object]:
        """The rows of a list."""
        return list(self.screen.query_one(f"#download-{name}", RowList).items)

    async def open(self) -> None:
        """Open the window, or another after the first was closed."""
        app = self.pilot.app
        assert isinstance(app, Host)
        await app.push_screen(DownloadScreen(app.context))

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the app run until a condition holds."""
        for _ in range(2000):
            if condition():
                return
            await self.pilot.pause(0.005)
        raise AssertionError("the condition never held")

    async def search(self, words: str = "tiny") -> None:
        """Type words and wait for repositories."""
        await self.press(*words, "enter")
        await self.until(lambda: self.rows("results"))

    async def open_files(self) -> None:
        """Search, and open the first repository."""
        await self.search()
        await self.press("enter")
        await self.until(lambda: self.screen.listing)


@pytest.fixture
def hub() -> FakeHub:
    """A hub with a repository of three models."""
    hub = FakeHub()
    projector = HubItem(name="mmproj", kind="projector", files=(HubFile(path="mmproj.gguf", size_bytes=9),))
    repo = HubRepo(id="a/tiny-GGUF", downloads=1234, likes=5, licence="mit", updated_at=1.77e9)
    hub.add(repo, item("Q4_0", 4 * GIB), item("Q8_0", 9 * GIB), item("F16", 99 * GIB, parts=2), projector)
    return hub


class Host(App[int]):
    """An app with nothing but the window, in the colours of the program."""

    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(self, context: PaneContext) -> None:
        super().__init__()
        self.context = context

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)


@pytest.fixture
def world(hub: FakeHub) -> World:
    """A world with that hub."""
    world = World()
    world.hub = hub
    return world


@contextlib.asynccontextmanager
async def opened(world: World, make_app: Callable[[PaneContext], App[int]]) -> AsyncIterator[Pilot[int]]:
    backend = world.backend()
    app = make_app(world.context(backend))
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            yield pilot
    finally:
        for begun in world.hub.begun:
            begun.end.set()
        assert await backend.close()


@pytest.fixture
async def window(world: World) -> AsyncIterator[Window]:
    """The window on its own."""
    async with opened(world, Host) as pilot:
        window = Window(pilot, world.hub)
        await window.open()
        yield window


async def test_words_find_repositories_and_enter_shows_their_files(window: Window) -> None:
    await window.open_files()
    assert window.rows("files") == list(window.hub.items["a/tiny-GGUF"])
    assert window.screen.query_one("#download-folder", Input).value == "/models/a/tiny-GGUF"


async def test_enter_downloads_and_the_line_tells_how_far_it_is(window: Window) -> None:
    await window.open_files()
    await window.press("down", "enter")
    await window.until(lambda: window.hub.begun and window.hub.begun[0].running.is_set())
    begun = window.hub.begun[0]
    assert begun.request.item.quantization == "Q8_0"
    assert begun.request.folder == "/models/a/tiny-GGUF"
    assert begun.report is not None
    begun.report(Progress(done_bytes=3 * GIB, total_bytes=9 * GIB, bytes_per_second=1e7, seconds_left=125.0))
    await window.until(lambda: "33%" in window.lines[0])
    assert "9.54 MiB/s · 2 min 05 s left" in window.lines[0]
    begun.end.set()
    await window.until(lambda: "is here" in window.lines[0])


async def test_the_folder_can_be_changed(window: Window) -> None:
    await window.open_files()
    folder = window.screen.query_one("#download-folder", Input)
    folder.value = "/elsewhere"
    await window.press("enter")
    await window.until(lambda: window.hub.begun)
    assert window.hub.begun[0].request.folder == "/elsewhere"


async def test_a_download_is_stopped_with_a_key_and_offered_again(window: Window) -> None:
    await window.open_files()
    await window.press("enter")
    await window.until(lambda: window.lines)
    await window.until(lambda: window.hub.begun)
    await window.press("ctrl+x")
    await window.until(lambda: "stopped" in window.lines[0])
    await window.press("escape", "escape")
    await window.open()
    await window.until(lambda: window.rows("results"))
    await window.press("down", "enter")
    await window.until(lambda: len(window.hub.begun) == 2)
    assert window.hub.begun[1].request == window.hub.begun[0].request


async def test_a_part_is_deleted_only_after_a_second_press(window: Window, hub: FakeHub) -> None:
    hub.keep(_request(hub))
    await window.open()
    await window.until(lambda: window.rows("results"))
    await window.press("down", "delete")
    await window.until(lambda: "Press Delete again to remove the 2.00 GiB" in window.note)
    assert hub.notes
    await window.press("delete")
    await window.until(lambda: "are free again" in window.note)
    assert not hub.notes


async def test_a_failed_download_is_explained(window: Window) -> None:
    await window.open_files()
    await window.press("enter")
    await window.until(lambda: window.hub.begun and window.hub.begun[0].running.is_set())
    window.hub.begun[0].failure = KoboldError("Disk full", "/models: no space.", "Free some space.")
    window.hub.begun[0].end.set()
    await window.until(lambda: window.note == "Disk full: /models: no space. Free some space.")
    assert "✗" in window.lines[0]


async def test_trouble_with_the_hub_is_explained_and_the_window_stays_usable(window: Window) -> None:
    window.hub.trouble = KoboldError("No connection", "The \x1b[31mhub cannot be reached.", "Check it.")
    await window.press(*"tiny", "enter")
    await window.until(lambda: "No connection" in window.note)
    assert "\x1b" not in window.note
    window.hub.trouble = None
    await window.press("enter")
    await window.until(lambda: window.rows("results"))


async def test_nothing_found_is_said(window: Window) -> None:
    await window.press(*"zzz", "enter")
    await window.until(lambda: "No repository" in window.note)


async def test_escape_goes_back_one_step_at_a_time(window: Window) -> None:
    await window.open_files()
    await window.press("escape")
    assert window.screen.listing is None
    assert window.rows("results")
    await window.press("escape")
    assert not isinstance(window.pilot.app.screen, DownloadScreen)


async def test_a_double_click_opens_as_enter_does(window: Window) -> None:
    await window.search()
    await window.pilot.click("#download-results", offset=(5, 0), times=2)
    await window.until(lambda: window.screen.listing)


async def test_the_command_palette_opens_the_window_and_f1_explains_it(world: World) -> None:
    async with opened(world, lambda context: KoboldApp(context, find_panes())) as pilot:
        window = Window(pilot, world.hub)
        await window.press("ctrl+p")
        await window.until(lambda: isinstance(pilot.app.screen, CommandPalette))
        await window.press(*"download a model")
        await window.until(lambda: pilot.app.screen.query_one(CommandList).option_count == 1)
        await window.press("down", "enter")
        await window.until(lambda: isinstance(pilot.app.screen, DownloadScreen))
        await window.press("f1")
        await window.until(lambda: isinstance(pilot.app.screen, HelpScreen))
        title = pilot.app.screen.query("VerticalScroll").first().border_title
        assert title == "Help · Download a model"


@pytest.mark.parametrize("width", [20, 40, 60, 76, 90, 106, 150])
def test_rows_are_as_wide_as_the_list(width: int, hub: FakeHub) -> None:
    listing: HubListing = hub.listing("a/tiny-GGUF")
    assert len(repo_heading(width)) == len("".join(text for text, _ in draw_repo(listing.repo, width)))
    for each in listing.items:
        assert len("".join(text for text, _ in draw_item(each, None, width))) == max(width, 45)
    assert len(item_heading(width)) == max(width, 45)


def _request(hub: FakeHub) -> DownloadRequest:
    item = hub.items["a/tiny-GGUF"][0]
    return DownloadRequest(repo="a/tiny-GGUF", revision="abc123", item=item, folder="/models")
