"""The common form of a pane: values come down by `data_bind`, messages go up, services by constructor."""

from __future__ import annotations

from textual.containers import Vertical
from textual.reactive import reactive
from textual.widget import Widget

from kobold_tui.domain.instance import Instance
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.model import ModelEntry
from kobold_tui.services.launch import Launch
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.tuning import Tuning


class Pane(Vertical):
    """A region of the workbench with a title of its own."""

    DEFAULT_CSS = """
    Pane { width: 1fr; height: 1fr; }
    """

    launch: reactive[Launch | None] = reactive(None)
    """What was loaded last, with its preset."""
    instance: reactive[Instance | None] = reactive(None)
    """The instance that this launch runs in."""
    instances: reactive[tuple[Instance, ...]] = reactive(())
    """All instances, loaded or not."""
    estimate: reactive[MemoryEstimate | None] = reactive(None, repaint=False)
    """The memory that the model under the cursor would take, as it is tuned now; None where unknown."""
    tuning: reactive[Tuning | None] = reactive(None, repaint=False)
    """The model under the cursor, as it is tuned now."""
    wanted: reactive[ModelEntry | None] = reactive(None)
    """The model that the command line names."""
    reading: reactive[Reading | None] = reactive(None, repaint=False)
    """The newest sample of the hardware."""

    def __init__(self, context: PaneContext, pane_id: str, *, classes: str | None = None) -> None:
        super().__init__(id=pane_id, classes=classes)
        self.context = context

    @property
    def first_focus(self) -> Widget:
        """The widget that gets the keys when the pane is called up."""
        return next((widget for widget in self.walk_children(Widget) if widget.focusable), self)
