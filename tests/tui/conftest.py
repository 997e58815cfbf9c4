"""The whole app over a backend without processes, and conditions to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_world import World
from textual.pilot import Pilot

from kobold_tui.services.options import StartOptions
from kobold_tui.storage.themes import load_themes
from kobold_tui.tui.app import AppSetup, Copy, KoboldApp
from kobold_tui.tui.panes.chat import ChatPane
from kobold_tui.tui.registry import find_panes
from kobold_tui.tui.screens.workbench import Workbench
from kobold_tui.tui.theming import to_textual
from kobold_tui.tui.widgets.row_list import RowList
from kobold_tui.tui.widgets.transcript import Transcript

THEMES = Path(__file__).parents[2] / "themes"
PATIENCE_SECONDS = 20.0

MakeApp = Callable[..., KoboldApp]


class Driver:
    """Types, waits and looks, as a person does."""

    def __init__(self, pilot: Pilot[int]) -> None:
        self.pilot = pilot

    @property
    def workbench(self) -> Workbench:
        return next(screen for screen in self.pilot.app.screen_stack if isinstance(screen, Workbench))

    @property
    def transcript(self) -> Transcript:
        return self.workbench.query_one(Transcript)

    @property
    def chat(self) -> ChatPane:
        return self.workbench.query_one(ChatPane)

    @property
    def rows(self) -> tuple[object, ...]:
        """The rows of the model list, none before it is there."""
        lists = self.workbench.query("#models-list").results(RowList) if self.pilot.app.screen_stack else ()
        return next((each.items for each in lists), ())

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the app run until a condition holds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - the app and its backend set no event of ours
                await asyncio.sleep(0.005)
        await self.pilot.pause()

    async def until_still(self) -> None:
        """Wait until the screen has stopped to change."""
        before, same = "", 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while same < 3:
                await self.pilot.pause(0.05)
                now = self.pilot.app.export_screenshot()
                same = same + 1 if now == before else 0
                before = now

    async def until_state(self, name: str) -> None:
        """Wait for a state of the instance, such as `Ready`."""

        def reached() -> bool:
            instance = self.workbench.instance
            return instance is not None and type(instance.state).__name__ == name

        await self.until(reached)

    async def load(self) -> None:
        """Load the model under the cursor and wait until it is ready."""
        await self.until(lambda: self.rows)
        await self.pilot.press("enter")
        await self.until_state("Ready")

    async def say(self, text: str) -> None:
        """Type a message and send it."""
        await self.pilot.press(*text, "enter")

    async def until_answered(self, count: int = 1) -> None:
        """Wait for so many ended answers."""
        await self.until(
            lambda: (
                sum(item.role == "assistant" and item.status != "streaming" for item in self.transcript.items)
                >= count
                and not self.chat.replying
            )
        )


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    """Make apps over worlds; their backends are closed afterwards."""
    backends = []

    def make(
        world: World, options: StartOptions | None = None, *, theme: str = "ember", copy: Copy | None = None
    ) -> KoboldApp:
        backend = world.backend()
        backends.append(backend)
        themes, _ = load_themes([THEMES])
        setup = AppSetup(themes=tuple(to_textual(each) for each in themes.values()), theme=theme, copy=copy)
        return KoboldApp(world.context(backend, options), find_panes(), setup)

    yield make
    for backend in backends:
        assert backend.close_waiting()
