"""Everything that one model file says about itself, in lines that can be scrolled and copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, chop_cells
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.model_details import ModelDetails
from kobold_tui.domain.units import format_bytes
from kobold_tui.services.model_facts import (
    Fact,
    file_facts,
    memory_facts,
    metadata_facts,
    type_facts,
    weight_facts,
)
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.messages import CopyRequested
from kobold_tui.tui.widgets.fit_text import fit, safe
from kobold_tui.tui.widgets.row_list import Cell, RowList

HELP = """\
Everything that the file says: weights, what a context costs in memory, licence, chat templates, tensor types,
and all metadata. **y** copies the line under the cursor, **c** copies everything.
"""

LABEL_MOST = 30


class FactLine(NamedTuple):
    """A line of the window; `value` is what copying it gives, the whole of a value that goes on below."""

    label: str
    text: str
    value: str
    is_heading: bool = False


class ModelDetailsScreen(ModalScreen[None]):
    """A window about one model; `fit` says in words where it would run."""

    HELP_TITLE: ClassVar[str] = "Model details"
    HELP_TEXT: ClassVar[str] = HELP
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,i,q,left", "dismiss", "Close", id="details.close", tooltip="Back to the models"),
        Binding("y", "copy_line", "Copy line", id="details.copy", tooltip="Copy the value under the cursor"),
        Binding("c", "copy_all", "Copy all", id="details.copy-all", tooltip="Copy everything"),
    ]
    DEFAULT_CSS = """
    ModelDetailsScreen { align: center middle; }
    ModelDetailsScreen > Vertical { width: 100; max-width: 100%; height: 90%; padding: 0 1; }
    ModelDetailsScreen > Vertical > Static { height: auto; padding: 1 1; }
    ModelDetailsScreen .-ready Static { display: none; }
    """

    def __init__(self, context: PaneContext, model: ModelEntry, fit_words: str = "") -> None:
        super().__init__()
        self._backend = context.backend
        self._model = model
        self._fit_words = fit_words
        self._groups: list[tuple[str, list[Fact]]] = []
        self._note = Static("Reading the file …", markup=False)
        self._lines: RowList[FactLine] = RowList(
            _draw, id="details-lines", is_heading=lambda line: line.is_heading
        )

    def compose(self) -> ComposeResult:
        """Lay out the lines."""
        with Vertical() as window:
            window.border_title = safe(self._model.name)
            window.border_subtitle = "y copies the line · c copies all · Esc closes"
            yield self._note
            yield self._lines

    def on_mount(self) -> None:
        """Read the file."""
        self._lines.focus()
        self.run_worker(self._read(), exit_on_error=False)

    def on_resize(self) -> None:
        """Wrap anew."""
        self.call_after_refresh(self._show)

    def on_row_list_selected(self) -> None:
        """Copy the line."""
        self.action_copy_line()

    def action_copy_line(self) -> None:
        """Copy the value under the cursor."""
        line = self._lines.current
        if line is not None and line.value:
            self.post_message(CopyRequested(line.value, line.label.strip() or "the value"))

    def action_copy_all(self) -> None:
        """Copy everything as text."""
        parts = [f"{title}\n" + "\n".join(_plain(facts)) for title, facts in self._groups]
        self.post_message(CopyRequested("\n\n".join(parts) + "\n", "the details"))

    async def _read(self) -> None:
        path = self._model.path
        try:
            details = await self._backend.call(lambda services: services.models.details(path))
        except KoboldError as error:
            self._note.update(safe(f"{error.title}: {error.message} {error.hint}"))
            return
        self._groups = list(groups_of(self._model, details, self._fit_words))
        self.query_one(Vertical).add_class("-ready")
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        if self._groups:
            self._lines.show(list(_lines(self._groups, self._lines.size.width)))


def groups_of(model: ModelEntry, details: ModelDetails, fit_words: str) -> Iterator[tuple[str, list[Fact]]]:
    """Yield titles and facts: what matters for a choice first, then all metadata."""
    yield "Overview", list(_overview(model, fit_words))
    yield "Memory", list(memory_facts(details))
    yield "Weights", list(weight_facts(details))
    yield "Tensor types", list(type_facts(details))
    yield "File", list(file_facts(details))
    for title, facts in metadata_facts(details):
        yield f"Metadata: {title}", facts


def _overview(model: ModelEntry, fit_words: str) -> Iterator[Fact]:
    kind = " · ".join(word for word in (model.kind, model.architecture, model.quantization) if word)
    yield "kind", kind
    yield "size", format_bytes(model.size_bytes) + (f" in {model.shards} parts" if model.shards > 1 else "")
    if fit_words:
        yield "runs here", fit_words
    if model.family:
        yield "family", model.family
    if model.base_model:
        yield "made from", model.base_model
    yield "found in", model.source
    yield from _listed("projector", model.projectors)
    yield from _listed("also in", model.copies)


def _listed(label: str, values: Sequence[str]) -> Iterator[Fact]:
    yield from ((label if not index else "", value) for index, value in enumerate(values))


def _lines(groups: Iterable[tuple[str, list[Fact]]], width: int) -> Iterator[FactLine]:
    """Yield the lines, each as wide as the list; a long value goes on below."""
    is_first = True
    for title, facts in groups:
        if not facts:
            continue
        if not is_first:
            yield FactLine("", "", "", is_heading=True)
        is_first = False
        yield FactLine(title, "", "", is_heading=True)
        wide = min(LABEL_MOST, max(cell_len(safe(label)) for label, _ in facts), max(8, width // 3))
        for label, value in facts:
            rows = chop_cells(safe(value), max(8, width - wide - 4)) or [""]
            for index, row in enumerate(rows):
                yield FactLine("  " + fit(label if not index else "", wide) + "  ", row, value)


def _draw(line: FactLine, width: int) -> Sequence[Cell]:
    if line.is_heading:
        return [(fit(line.label, width), "row--head")]
    label = line.label[:width]
    return [(label, "row--quiet"), (fit(line.text, max(0, width - cell_len(label))), "row--text")]


def _plain(facts: Iterable[Fact]) -> Iterator[str]:
    yield from (f"  {label}: {value}" if label else f"    {value}" for label, value in facts)
