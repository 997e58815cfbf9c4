"""What the model's own process wrote: the first place to look when a load fails."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Log, Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.services.registry import Services
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.messages import CopyRequested
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneCommand, PaneSpec
from kobold_tui.tui.widgets.fit_text import safe

HELP = """\
The last lines that llama.cpp and the model's process wrote. They stay here after a crash. **c** copies them.
The whole log is in the log folder that `kobold-tui doctor` names.
"""

REFRESH_SECONDS = 0.5
INDENT = "    "


class LogsPane(Pane):
    """The log tail of the instance, refreshed while it is in view."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="logs.copy", tooltip="Copy all lines"),
    ]
    DEFAULT_CSS = """
    LogsPane > Log { height: 1fr; background: transparent; scrollbar-size: 1 1; }
    LogsPane > #logs-empty { padding: 1 2; height: auto; }
    LogsPane.-filled > #logs-empty { display: none; }
    """

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "logs")
        self._log = Log(highlight=False, auto_scroll=True)
        self._shown: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the lines and what stands there without any."""
        yield Static("No log lines yet; they appear while a model loads.", id="logs-empty", markup=False)
        yield self._log

    @property
    def first_focus(self) -> Widget:
        """The lines."""
        return self._log

    def on_mount(self) -> None:
        """Keep the lines fresh while they are in view."""
        self._timer = self.set_interval(REFRESH_SECONDS, self._ask, pause=True)

    def on_show(self, event: events.Show) -> None:  # noqa: ARG002
        """Start to refresh."""
        self._timer.resume()
        self._ask()

    def on_hide(self, event: events.Hide) -> None:  # noqa: ARG002
        """Stop to refresh."""
        self._timer.pause()

    def action_copy(self) -> None:
        """Copy all lines."""
        self.post_message(CopyRequested("\n".join(self._shown), "the log"))

    def _ask(self) -> None:
        if self.instance is not None:
            self.run_worker(self._refresh_lines(), group="logs", exclusive=True, exit_on_error=False)

    async def _refresh_lines(self) -> None:
        instance = self.instance
        if instance is None:
            return

        async def tail(services: Services) -> tuple[str, ...]:
            return services.loading.log_tail(instance.id)

        try:
            lines = await self.context.backend.call(tail)
        except KoboldError:
            return
        if lines != self._shown:
            self._replace(lines)

    def on_resize(self) -> None:
        """Wrap anew."""
        self._log.clear()
        self._log.write_lines(self._wrapped(self._shown))

    def _replace(self, lines: tuple[str, ...]) -> None:
        grown = lines[: len(self._shown)] == self._shown
        if not grown:
            self._log.clear()
        self._log.write_lines(self._wrapped(lines[len(self._shown) :] if grown else lines))
        self._shown = lines
        self.set_class(bool(lines), "-filled")

    def _wrapped(self, lines: Iterable[str]) -> list[str]:
        width = max(20, self._log.scrollable_content_region.width)
        return [row for line in lines for row in wrapped(line, width)]


def wrapped(line: str, width: int) -> list[str]:
    """Return a line as rows of at most `width` columns; rows after the first are set in."""
    rows, rest = [], safe(line)
    while cell_len(rest) > width:
        row = set_cell_size(rest, width).rstrip()
        row = row[: len(row) - 1] if not rest.startswith(row) else row
        rows.append(row)
        rest = INDENT + rest[len(row) :]
    return [*rows, rest]


PANE = PaneSpec(
    id="logs",
    title="Logs",
    region="main",
    order=90,
    key="f8",
    summary="what the model's process wrote",
    help=HELP,
    build=LogsPane,
    commands=(PaneCommand(title="Copy the log", action="copy", help="All lines, to the clipboard"),),
)
