"""The Textual application: it registers themes, keys and the workbench, and holds nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.screen import Screen
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.services.clipboard import CopyResult
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.help_text import help_for
from kobold_tui.tui.messages import CopyRequested, PaneRequested
from kobold_tui.tui.registry import PaneSpec
from kobold_tui.tui.screens.workbench import Workbench
from kobold_tui.tui.signals import leave_on_signals
from kobold_tui.tui.theming import variable_defaults

_log = logging.getLogger(__name__)

Copy = Callable[[str], CopyResult]


def _commands() -> type[Provider]:
    from kobold_tui.tui.commands import WorkbenchCommands

    return WorkbenchCommands


@dataclass(frozen=True, kw_only=True)
class AppSetup:
    """What the app shows and how, as settings, files and the machine have it."""

    themes: tuple[Theme, ...] = ()
    theme: str = ""
    keymap: Mapping[str, str] = field(default_factory=dict)
    copy: Copy | None = None
    warnings: tuple[Failure, ...] = ()


class KoboldApp(App[int]):
    """The terminal workstation; everything it does is in panes, screens and services."""

    TITLE = "kobold-tui"
    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "f1", "help", "Help", show=False, priority=True, id="app.help", tooltip="Explain the focused pane"
        ),
        Binding(
            "ctrl+q", "quit", "Quit", priority=True, id="app.quit", tooltip="Leave; everything is stored"
        ),
        Binding(
            "ctrl+c", "hint_quit", "", show=False, id="app.interrupt", tooltip="Copy a selection; never quits"
        ),
        Binding(
            "ctrl+z",
            "suspend_process",
            "",
            show=False,
            id="app.suspend",
            tooltip="Back to the shell; fg returns",
        ),
    ]

    def __init__(
        self, context: PaneContext, panes: tuple[PaneSpec, ...], setup: AppSetup | None = None
    ) -> None:
        self.setup = setup or AppSetup()
        super().__init__()
        self.context = context
        self.panes = panes
        self._copy_thread = OwnThread("clipboard")
        for found in self.setup.themes:
            self.register_theme(found)
        if self.setup.theme in self.available_themes:
            self.theme = self.setup.theme
        for spec in (spec for spec in panes if spec.key):
            self.bind(spec.key, f"go('{spec.id}')", description=spec.title, show=False)
        self.set_keymap(dict(self.setup.keymap))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return a value for every variable of ours, so that an incomplete theme never stops the program."""
        return variable_defaults(self.current_theme)

    def get_default_screen(self) -> Screen[None]:
        """Return the workbench."""
        return Workbench(self.context, self.panes, self.setup.warnings)

    def on_mount(self) -> None:
        """Leave in order when the system asks, and remember the theme that is chosen."""
        leave_on_signals(self)
        self.theme_changed_signal.subscribe(self, self._remember_theme)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show an error that nothing expected, and keep it in the log."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            _log.error("The worker %s failed", event.worker.name, exc_info=error)
            self.notify(f"{type(error).__name__}: {error}", title="Internal error", severity="error")

    def action_go(self, pane_id: str) -> None:
        """Show a pane, from wherever the keys are."""
        if isinstance(self.screen, Workbench) and not self.screen.show_built(pane_id):
            self.screen.post_message(PaneRequested(pane_id))

    def action_help(self) -> None:
        """Explain the focused pane and its keys; a second time closes the help."""
        from kobold_tui.tui.screens.help import HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
        else:
            self.push_screen(HelpScreen(*help_for(self)))

    def action_hint_quit(self) -> None:
        """Say how to leave instead of leaving."""
        self.notify("Press ctrl+q to quit.", timeout=3)

    def on_copy_requested(self, event: CopyRequested) -> None:
        """Copy a text."""
        self.copy_text(event.text, event.what)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy what Textual's own widgets want copied."""
        self.copy_text(text, "the selection")

    def copy_text(self, text: str, what: str) -> None:
        """Copy by the route that works on this terminal, and say which it was."""
        self.run_worker(self._copy_and_tell(text, what), group="copy", exit_on_error=False)

    async def _copy_and_tell(self, text: str, what: str) -> None:
        copy = self.setup.copy
        if copy is None:
            super().copy_to_clipboard(text)
            return
        try:
            result = await self._copy_thread.call(copy, text)
        except KoboldError as error:
            self.notify(str(error), severity="error")
        else:
            self.notify(result.detail, title=f"Copied {what}")

    def _remember_theme(self, theme: Theme) -> None:
        name = theme.name
        self.run_worker(
            self.context.backend.call(lambda services: services.state.remember("theme", name), finish=True),
            exit_on_error=False,
        )
