"""The page of cards as a widget: it plans anew when its size or the hardware changes, and scrolls."""

from __future__ import annotations

from kobold_tui.tui.widgets.cell_canvas import CellCanvas
from kobold_tui.tui.widgets.gpu_grid import GaugeView, Graphs, graphs_of, page_cuts, page_lines
from kobold_tui.tui.widgets.gpu_plan import Plan, plan_for

LEFT_FOR_PROCESSES = 4
"""Rows that the page leaves below it, however many cards there are."""


class GpuBoard(CellCanvas):
    """All cards and the machine; as high as its lines, as far as there is room."""

    DEFAULT_CSS = """
    GpuBoard.-scrolls { overflow-y: auto; visibility: visible; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self._shape: object = None
        self._inner = 0
        self._graphs: Graphs = {}
        self._graphs_of: object = None

    def history_cell(self, view: GaugeView) -> int | None:
        """Return the number of the newest cell of the histories; None where none are shown."""
        return None if self.plan is None else self.plan.history_cell(view.now, self._inner)

    def show_view(self, view: GaugeView, width: int, height: int) -> None:
        """Show newer figures on a page of that size, processes included."""
        telemetry = view.telemetry
        shape = (width, height, telemetry.notice, [len(gpu.mig_instances) for gpu in telemetry.gpus])
        plan = self.plan
        if plan is None or shape != self._shape:
            self._shape = shape
            plan = self.plan = plan_for(telemetry, width, height)
            self._lay_out(plan, width, height)
        lines = page_lines(view, plan, self._inner, self._newest_graphs(view, plan))
        self.show(lines, page_cuts(plan, self._inner), self._inner)

    def _lay_out(self, plan: Plan, width: int, height: int) -> None:
        room = max(3, min(plan.height, height - LEFT_FOR_PROCESSES))
        self.styles.height = room
        self.set_class(room < plan.height, "-scrolls")
        self._inner = width - 1 if room < plan.height else width  # for the scroll bar

    def _newest_graphs(self, view: GaugeView, plan: Plan) -> Graphs:
        """Return the graphs, computed anew only when a cell of time is over or there is another history."""
        based_on = (plan, self._inner, self.history_cell(view), id(view.histories))
        if based_on != self._graphs_of:
            self._graphs_of = based_on
            self._graphs = graphs_of(view, plan, self._inner)
        return self._graphs
