"""The models there are: name, size, quantisation; Enter loads the one under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import Failed, Instance, Loading, Ready, Starting
from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.domain.units import format_bytes, format_count, format_tokens
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.messages import FailureReported, LoadRequested, ModelHighlighted, UnloadRequested
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneCommand, PaneSpec
from kobold_tui.tui.widgets.fit_text import below_home, fit, fit_path, fit_right
from kobold_tui.tui.widgets.row_list import Cell, RowList

Row = ModelEntry | ModelFault

HELP = """\
All GGUF models found on this machine: in your model folders, the Hugging Face cache and installed Python
packages. **Enter** loads the model under the cursor; a loaded one makes way for it. **u** unloads.
**r** looks again. Files that cannot be used stand at the end, with the reason below the list.

● loaded   ◐ loading   ○ not loaded   ✗ cannot be used
"""

EMPTY = "No models yet.\n\nPut .gguf files into a folder and start with\n--models-dir FOLDER, then press r."


class ModelsPane(Pane):
    """The list of models and a few lines about the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "load", "Load", id="models.load", tooltip="Load the model under the cursor"),
        Binding("u", "unload", "Unload", id="models.unload", tooltip="Unload the model and free its memory"),
        Binding("r", "rescan", "Rescan", id="models.rescan", tooltip="Look for models again"),
    ]
    DEFAULT_CSS = """
    ModelsPane > #models-empty { height: auto; padding: 1 2; display: none; }
    ModelsPane.-empty > #models-empty { display: block; }
    ModelsPane.-empty > RowList { display: none; }
    ModelsPane > #models-detail { height: 3; padding: 0 1; }
    """

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "models")
        self.border_title = "Models"
        self._list: RowList[Row] = RowList(self._draw, id="models-list")
        self._detail = Static(id="models-detail", markup=False)
        self._found: tuple[Row, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the list above the details."""
        yield self._list
        yield Static(EMPTY, id="models-empty", markup=False)
        yield self._detail

    def on_mount(self) -> None:
        """Start looking for models."""
        self.action_rescan()

    @property
    def first_focus(self) -> Widget:
        """The list."""
        return self._list

    def watch_wanted(self, wanted: ModelEntry | None) -> None:
        """Put the cursor on the model that the command line names, wherever its file lies."""
        if wanted is not None:
            self._show(self._found)
            paths = [row.path for row in self._list.items]
            self._list.place(paths.index(wanted.path))

    def watch_instance(self) -> None:
        """Show which model is loaded."""
        self._list.refresh()

    def on_row_list_highlighted(self) -> None:
        """Tell what the cursor stands on."""
        row = self._list.current
        self._show_detail()
        self.post_message(ModelHighlighted(row if isinstance(row, ModelEntry) else None))

    def on_resize(self) -> None:
        """Fit the details to the width."""
        self.call_after_refresh(self._show_detail)

    def on_row_list_selected(self) -> None:
        """Load the row."""
        self.action_load()

    def action_load(self) -> None:
        """Ask for the model under the cursor."""
        row = self._list.current
        if isinstance(row, ModelEntry):
            self.post_message(LoadRequested(row))
        elif isinstance(row, ModelFault):
            failure = KoboldError(
                "Cannot be loaded", f"{row.path}: {row.reason}", "Choose another model."
            ).failure
            self.post_message(FailureReported(failure))

    def action_unload(self) -> None:
        """Ask for the loaded model to go."""
        self.post_message(UnloadRequested())

    def action_rescan(self) -> None:
        """Look for models again."""
        self.run_worker(self._scan(), group="scan", exclusive=True, exit_on_error=False)

    async def _scan(self) -> None:
        found: list[Row] = []
        try:
            async for batch in self.context.backend.stream(lambda services: services.models.scan()):
                found += batch
                self._show(found)
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))
        self._show(found)

    def _show(self, found: Sequence[Row]) -> None:
        self._found = tuple(found)
        models = {row.path: row for row in found if isinstance(row, ModelEntry)}
        if self.wanted is not None:
            models.setdefault(self.wanted.path, self.wanted)
        faults = sorted((row for row in found if isinstance(row, ModelFault)), key=lambda row: row.path)
        rows: list[Row] = [*sorted(models.values(), key=lambda row: row.name.casefold()), *faults]
        self.set_class(not rows, "-empty")
        self._list.show(rows)
        self.border_subtitle = str(len(models)) if models else ""

    def _show_detail(self) -> None:
        row = self._list.current
        self._detail.update(_detail(row, self._detail.content_size.width) if row else "")

    def _draw(self, row: Row, width: int) -> Sequence[Cell]:
        if isinstance(row, ModelFault):
            return [(" ✗ ", "row--bad"), (fit(row.path.rsplit("/", 1)[-1], width - 3), "row--quiet")]
        mark, colour = _mark(row, self.instance)
        size = fit_right(format_bytes(row.size_bytes), 9)
        quantization = fit(row.quantization, 7)
        name = fit(row.name, width - 3 - 1 - 7 - 9 - 1)
        return [
            (f" {mark} ", colour),
            (f"{name} ", "row--text"),
            (quantization, "row--accent"),
            (f"{size} ", "row--quiet"),
        ]


def _mark(row: ModelEntry, instance: Instance | None) -> tuple[str, str]:
    if instance is None or instance.spec.path != row.path:
        return "○", "row--quiet"
    match instance.state:
        case Ready():
            return "●", "row--good"
        case Starting() | Loading():
            return "◐", "row--warn"
        case Failed():
            return "✗", "row--bad"
    return "○", "row--quiet"


def _detail(row: Row, width: int) -> str:
    if isinstance(row, ModelFault):
        return f"{fit_path(below_home(row.path), width)}\n{row.reason}"
    facts = (row.kind, row.architecture, f"{format_count(row.parameters)} parameters")
    context = f"{row.n_layer} layers · {format_tokens(row.n_ctx_train)} tokens of context"
    lines = (fit(" · ".join(fact for fact in facts if fact), width), fit(context, width))
    return "\n".join((*lines, fit_path(below_home(row.path), width)))


PANE = PaneSpec(
    id="models",
    title="Models",
    region="side",
    order=10,
    key="f2",
    summary="find and load models",
    help=HELP,
    build=ModelsPane,
    commands=(
        PaneCommand(title="Rescan models", action="rescan", help="Look for models again"),
        PaneCommand(title="Unload the model", action="unload", help="Free its memory"),
    ),
)
