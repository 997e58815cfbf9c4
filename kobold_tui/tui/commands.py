"""The command palette: every pane, every command of a pane, and the actions of the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from kobold_tui.services.loading import is_live
from kobold_tui.tui.messages import PaneRequested
from kobold_tui.tui.registry import PaneSpec
from kobold_tui.tui.screens.workbench import Workbench


class Command(NamedTuple):
    """One entry: what it is called, what it does, and the pane and action, or the window, behind it."""

    title: str
    help: str
    pane: str | None
    action: str
    window: Callable[[Workbench], Screen[None]] | None = None


def _download(workbench: Workbench) -> Screen[None]:
    from kobold_tui.tui.screens.download import DownloadScreen

    return DownloadScreen(workbench.context)


def _benchmark(workbench: Workbench) -> Screen[None]:
    from kobold_tui.tui.screens.benchmark import BenchmarkScreen

    is_loaded = any(is_live(instance.state) for instance in workbench.instances)
    return BenchmarkScreen(workbench.context, workbench.launch, is_loaded=is_loaded)


PROGRAM = (
    Command("Download a model", "Search Hugging Face", None, "", _download),
    Command("Benchmark placements", "Measure speeds, find the best settings", None, "", _benchmark),
    Command("Help", "Explain the focused pane and its keys", None, "app.help"),
    Command("Change theme", "Choose colours", None, "app.change_theme"),
    Command("Save a screenshot", "As SVG", None, "app.screenshot"),
    Command("Quit", "Everything is stored", None, "app.quit"),
)


def all_commands(specs: tuple[PaneSpec, ...]) -> Iterator[Command]:
    """Return what the palette offers, panes first."""
    for spec in (spec for spec in specs if spec.key):
        yield Command(f"Go to {spec.title}", spec.summary, spec.id, "")
    for spec in specs:
        for command in spec.commands:
            yield Command(command.title, command.help or spec.title, spec.id, command.action)
    yield from PROGRAM


class WorkbenchCommands(Provider):
    """Finds commands by their words."""

    async def discover(self) -> Hits:
        """Offer everything while nothing is typed."""
        for command in self._commands():
            yield DiscoveryHit(command.title, lambda command=command: self._run(command), help=command.help)

    async def search(self, query: str) -> Hits:
        """Offer what fits the query."""
        matcher = self.matcher(query)
        for command in self._commands():
            if (score := matcher.match(command.title)) > 0:
                title = matcher.highlight(command.title)
                yield Hit(score, title, lambda command=command: self._run(command), help=command.help)

    def _commands(self) -> Iterator[Command]:
        return all_commands(tuple(self._workbench.specs.values()))

    @property
    def _workbench(self) -> Workbench:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, Workbench))

    async def _run(self, command: Command) -> None:
        if command.window is not None:
            self.app.push_screen(command.window(self._workbench))
            return
        if command.pane is None:
            await self.app.run_action(command.action)
            return
        self._workbench.post_message(PaneRequested(command.pane, command.action))
