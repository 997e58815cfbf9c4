"""The glance at memory beside the models: one line a device, always in view on a wide terminal."""

from __future__ import annotations

from textual.app import ComposeResult

from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.services.registry import Services
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.gauge import GaugePane, host_age_seconds, needs
from kobold_tui.tui.registry import PaneSpec
from kobold_tui.tui.widgets.cell_canvas import CellCanvas
from kobold_tui.tui.widgets.cells import fit_line
from kobold_tui.tui.widgets.glance import glance_cuts, glance_lines
from kobold_tui.tui.widgets.gpu_grid import GaugeView

HELP = """\
Memory and load of every device as they are now. Each bar is one device: what our models hold, what other
programs hold, what the model under the cursor would take, and what is free. **F3** shows everything.
"""

REPEAT_SECONDS = 10.0
"""How often the glance follows beside the whole page, which shows the same."""


class MemoryPane(GaugePane):
    """One line for every card, for RAM and for the processor."""

    DEFAULT_CSS = """
    MemoryPane { height: auto; padding: 0 1; }
    """

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "memory")
        self.border_title = "Memory"
        self._canvas = CellCanvas()
        self._drawn_at: float | None = None

    def compose(self) -> ComposeResult:
        """Lay out the lines."""
        yield self._canvas

    @property
    def text(self) -> str:
        """What is shown, without colours."""
        return self._canvas.text

    def set_repeated(self, repeated: bool) -> None:
        """Be brief beside the page that has everything."""
        if repeated != self.is_repeated:
            super().set_repeated(repeated)
            self._draw()

    def on_mount(self) -> None:
        """Read more slowly where the line to the terminal is slow."""
        if self.context.link.slow:
            slowest = self.context.link.gauge_seconds

            async def slow_down(services: Services) -> None:
                telemetry = services.telemetry
                await telemetry.set_interval(max(telemetry.interval_seconds, slowest))

            self.run_worker(self.context.backend.call(slow_down), exit_on_error=False)

    def watch_reading(self, reading: Reading | None) -> None:
        """Show the newest figures; beside the whole page, which has them already, not every time."""
        now = reading.telemetry.taken_at if reading is not None and reading.telemetry is not None else None
        is_fresh = (
            now is not None and self._drawn_at is not None and 0 <= now - self._drawn_at < REPEAT_SECONDS
        )
        if not (is_fresh and self.is_repeated):
            self._draw()

    def watch_estimate(self, old: MemoryEstimate | None, new: MemoryEstimate | None) -> None:
        """Show what another model would take; what is free beside it comes with every reading anyway."""
        if needs(old) != needs(new):
            self._draw()

    def on_resize(self) -> None:
        """Fit the bars to the width."""
        self._draw()

    def _draw(self) -> None:
        width = self.content_size.width
        if width <= 0:
            return
        reading = self.reading
        if reading is None or reading.telemetry is None:
            self._canvas.show([fit_line((("reading …", "quiet"),), width)], (), width)
            return
        telemetry = reading.telemetry
        self._drawn_at = telemetry.taken_at
        subtitle = "GiB" if self.is_repeated else "GiB · load"
        if reading.stale_since is not None:
            subtitle = "not answering"
        if self.border_subtitle != subtitle:  # to set it redraws the whole frame
            self.border_subtitle = subtitle
        view = GaugeView(
            telemetry=telemetry,
            now=telemetry.taken_at,
            estimate=self.estimate,
            host_age_seconds=host_age_seconds(reading),
        )
        self._canvas.show(
            glance_lines(view, width, is_coarse=self.is_repeated), glance_cuts(view, width), width
        )


PANE = PaneSpec(
    id="memory",
    title="Memory",
    region="side",
    order=20,
    key="",
    summary="what GPUs and the machine hold",
    help=HELP,
    build=MemoryPane,
)
