"""The gauge: every card with its memory by owner, its load and its history, and the processes on it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import GpuPoint, HostPoint, Telemetry
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.services.registry import Services
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.gauge import GaugePane, host_age_seconds, needs, next_interval
from kobold_tui.tui.messages import FailureReported
from kobold_tui.tui.registry import PaneCommand, PaneSpec
from kobold_tui.tui.screens.confirm import ConfirmScreen
from kobold_tui.tui.screens.process import ProcessScreen, end_question
from kobold_tui.tui.widgets.gpu_board import GpuBoard
from kobold_tui.tui.widgets.gpu_grid import GaugeView
from kobold_tui.tui.widgets.process_rows import ProcessRow, are_processes_known, end_refusal, process_rows
from kobold_tui.tui.widgets.process_table import ProcessTable

HELP = """\
Every card as the driver reports it, numbered as llama.cpp numbers them; a number in brackets is hidden from
our models by `CUDA_VISIBLE_DEVICES`. The memory bar says whose the bytes are: each of our models by name,
▚ other programs, ▤ what the model under the cursor would take, · free. Figures that the driver does not give
are n/a. A card that stops answering keeps its last figures, dimmed, with their age.

**+** reads less often, **-** more often (0.5 to 10 seconds). Over SSH it starts at two seconds, and while no
gauge is in view it reads every ten. History goes back ten minutes.

Below are the processes on the cards, ours (●) first, then the RAM of our models. **s** or a click on a column
sorts, **r** reverses, **Enter** tells more, **x** ends one of our own models after a question. In a container
the driver gives numbers of the host; such a process is unknown here and cannot be ended.

Yellow: memory from 90 %, power from 95 % of the limit, 75 °C. Red: memory from 97 %, 85 °C.
"""


Histories = tuple[float, dict[str, tuple[GpuPoint, ...]], tuple[HostPoint, ...]]
"""The interval in seconds, the points of every card, and those of the machine."""


class GpusPane(GaugePane):
    """Cards above, processes below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "pace(1)", "Slower", id="gpus.slower", tooltip="Read less often"),
        Binding("minus", "pace(-1)", "Faster", id="gpus.faster", tooltip="Read more often"),
    ]

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "gpus")
        self._board = GpuBoard()
        self._table = ProcessTable()
        self._interval = context.gauge_seconds
        self._histories: dict[str, tuple[GpuPoint, ...]] = {}
        self._host_history: tuple[HostPoint, ...] = ()
        self._drawn_cell: object = None

    def compose(self) -> ComposeResult:
        """Lay out both halves."""
        yield self._board
        yield self._table

    @property
    def first_focus(self) -> Widget:
        """The processes."""
        return self._table

    @property
    def text(self) -> str:
        """What is shown, without colours."""
        return f"{self._board.text}\n{self._table.text}"

    def watch_reading(self) -> None:
        """Show the newest figures."""
        self._draw()

    def watch_estimate(self, old: MemoryEstimate | None, new: MemoryEstimate | None) -> None:
        """Show what another model would take; what is free beside it comes with every reading anyway."""
        if needs(old) != needs(new):
            self._draw()

    def watch_instances(self) -> None:
        """Show processes by the names of our models."""
        self._draw()

    def on_resize(self) -> None:
        """Lay out anew."""
        self._draw()

    def action_pace(self, step: int) -> None:
        """Read the hardware more or less often."""
        wanted = next_interval(self._interval, step)

        async def change() -> None:
            async def set_interval(services: Services) -> float:
                return await services.telemetry.set_interval(wanted)

            self._interval = await self.context.backend.call(set_interval)
            self._draw()

        self._interval = wanted
        self.run_worker(change(), group="gauge-interval", exclusive=True, exit_on_error=False)

    def on_process_table_opened(self, event: ProcessTable.Opened) -> None:
        """Tell more of a process."""
        event.stop()
        refusal = end_refusal(event.row, self.instances)

        def done(wants_end: bool | None) -> None:
            if wants_end:
                self._ask_to_end(event.row)

        self.app.push_screen(ProcessScreen(event.row, self.instances, refusal), done)

    def on_process_table_end_requested(self, event: ProcessTable.EndRequested) -> None:
        """End one of our models, after a question."""
        event.stop()
        self._ask_to_end(event.row)

    def _ask_to_end(self, row: ProcessRow) -> None:
        refusal = end_refusal(row, self.instances)
        if refusal is not None:
            self.notify(refusal, title="Not ended", severity="warning")
            return

        def done(confirmed: bool | None) -> None:
            if confirmed:
                self.run_worker(self._end(row), group="gauge-end", exit_on_error=False)

        question = ConfirmScreen("End this process?", end_question(row), yes="End it", no="Leave it")
        self.app.push_screen(question, done)

    async def _end(self, row: ProcessRow) -> None:
        instance = next((each for each in self.instances if each.id == row.process.instance), None)
        if instance is None or end_refusal(row, self.instances) is not None:
            return  # it has ended, or changed hands, while the question was open
        try:
            await self.context.backend.call(lambda services: services.loading.stop(instance.id))
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))

    def _draw(self) -> None:
        width, height = self.size
        reading = self.reading
        if width <= 0 or not self.is_on_screen or reading is None or reading.telemetry is None:
            return
        telemetry = reading.telemetry
        view = GaugeView(
            telemetry=telemetry,
            now=telemetry.taken_at,
            interval_seconds=self._interval,
            estimate=self.estimate,
            histories=self._histories,
            host_history=self._host_history,
            host_age_seconds=host_age_seconds(reading),
        )
        self._board.show_view(view, width, height)
        self._table.show(process_rows(telemetry, self.instances), _no_processes(telemetry))
        cell = self._board.history_cell(view), tuple(gpu.key for gpu in telemetry.gpus)
        if cell != self._drawn_cell:
            self._drawn_cell = cell
            self.run_worker(self._fetch(cell[1]), group="gauge-history", exclusive=True, exit_on_error=False)

    async def _fetch(self, keys: tuple[str, ...]) -> None:
        """Fetch the histories, which changes the picture only when a cell of time is over."""

        async def ask(services: Services) -> Histories:
            telemetry = services.telemetry
            found = {key: await telemetry.history(key) for key in keys}
            return telemetry.interval_seconds, found, await telemetry.host_history()

        self._interval, self._histories, self._host_history = await self.context.backend.call(ask)
        self._draw()


def _no_processes(telemetry: Telemetry) -> str:
    if not telemetry.gpus:
        return "No model is loaded."
    if not are_processes_known(telemetry.gpus):
        return "The driver does not tell which processes there are."
    return "No process holds memory of a card."


PANE = PaneSpec(
    id="gpus",
    title="GPUs",
    region="main",
    order=30,
    key="f3",
    summary="cards, their history, and whose processes are on them",
    help=HELP,
    build=GpusPane,
    commands=(
        PaneCommand(title="Read the GPUs less often", action="pace(1)", help="Also: + in the pane GPUs"),
        PaneCommand(title="Read the GPUs more often", action="pace(-1)", help="Also: - in the pane GPUs"),
    ),
)
