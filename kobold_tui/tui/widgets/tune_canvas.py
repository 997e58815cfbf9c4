"""The canvas of the tuning pane: one more look, for what has room."""

from __future__ import annotations

from typing import ClassVar

from kobold_tui.tui.widgets.cell_canvas import CellCanvas


class TuneCanvas(CellCanvas):
    """Lines of cells that know the look `good`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"cells--good"}
    DEFAULT_CSS = """
    TuneCanvas > .cells--good { color: $success; }
    """
