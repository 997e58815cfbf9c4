"""What the model browser shows: the table with the words about its cursor, or models to begin with."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from kobold_tui.domain.instance import Instance
from kobold_tui.domain.model import Catalogue, ModelEntry
from kobold_tui.services.favourites import Marks
from kobold_tui.tui.widgets import model_words as words
from kobold_tui.tui.widgets.model_arrangement import Row, Stock, is_favourite
from kobold_tui.tui.widgets.model_columns import HELPERS, Look
from kobold_tui.tui.widgets.model_fit import FitBook
from kobold_tui.tui.widgets.model_starters import StarterList
from kobold_tui.tui.widgets.model_table import ModelTable


class ModelBrowser(Vertical):
    """Shows a catalogue; `want_fits` is called when there are models in view to be judged."""

    DEFAULT_CSS = """
    ModelBrowser > #models-empty { display: none; }
    ModelBrowser.-empty > #models-empty { display: block; }
    ModelBrowser.-empty > ModelTable { display: none; }
    ModelBrowser.-empty > #models-detail { display: none; }
    ModelBrowser > #models-detail { height: 3; padding: 0 1; }
    """

    class Changed(Message):
        """Other rows are there, or in another order."""

    class Highlighted(Message):
        """The cursor stands on another row."""

    def __init__(self, want_fits: Callable[[], None]) -> None:
        super().__init__(id="models-browser")
        self.fits = FitBook(want_fits)
        self.table = ModelTable(self._look_of, self.fits.known)
        self._starters = StarterList(id="models-empty")
        self._detail = Static(id="models-detail", markup=False)
        self._catalogue = Catalogue(pending=("",))
        self._marks = self._order_marks = Marks()
        self._instance: Instance | None = None
        self._wanted: ModelEntry | None = None

    def compose(self) -> ComposeResult:
        """Lay out the table above the words."""
        yield self.table
        yield self._starters
        yield self._detail

    @property
    def focus_target(self) -> Widget:
        """The rows, or the models to begin with."""
        return self._starters.rows if self.is_empty else self.table.rows

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to list, for sure."""
        return self.has_class("-empty")

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return None if self.is_empty else self.table.current

    @property
    def model(self) -> ModelEntry | None:
        """The model under the cursor."""
        return self.row if isinstance(self.row, ModelEntry) else None

    def show(self, catalogue: Catalogue) -> None:
        """Show what is there now."""
        self._catalogue = catalogue
        self._arrange()

    def want(self, model: ModelEntry) -> None:
        """Put the cursor on a model, and list it wherever its file lies."""
        self._wanted = model
        self._arrange()
        self.table.place(model)

    def mark(self, marks: Marks, *, arranges: bool = False) -> None:
        """Show who is a favourite; rows go to their new places only with `arranges`."""
        self._marks = marks
        if arranges:
            self._order_marks = marks
            self._arrange()
        self.redraw()

    def tell_loaded(self, instance: Instance | None) -> None:
        """Show which model is loaded."""
        self._instance = instance
        self.redraw()

    def redraw(self) -> None:
        """Draw marks and words anew."""
        self.table.rows.refresh()
        self._show_detail()

    def on_model_table_changed(self, event: ModelTable.Changed) -> None:
        """Pass it on."""
        event.stop()
        self.post_message(self.Changed())

    def on_model_table_highlighted(self, event: ModelTable.Highlighted) -> None:
        """Tell what the cursor stands on."""
        event.stop()
        self._show_detail()
        self.post_message(self.Highlighted())

    def on_resize(self) -> None:
        """Fit the words to the width."""
        self.call_after_refresh(self._show_detail)

    def _arrange(self) -> None:
        found, wanted, models = self._catalogue, self._wanted, self._catalogue.models
        if wanted is not None and not any(wanted.path in (row.path, *row.copies) for row in models):
            models = (*models, wanted)
        was_empty, had_focus = self.is_empty, self.has_focus_within
        self.set_class(not (models or found.failed or found.pending), "-empty")
        self.table.show(Stock(models=models, failed=found.failed, marks=self._order_marks), found.pending)
        if had_focus and was_empty != self.is_empty:
            self.call_after_refresh(self.focus_target.focus)

    def _show_detail(self) -> None:
        row, width = self.table.current, self._detail.content_size.width
        fit = self.fits.known(row) if isinstance(row, ModelEntry) else None
        self._detail.update(
            words.detail(row, fit, width, is_short=self._detail.size.height < 3) if row else ""
        )

    def _look_of(self, model: ModelEntry) -> Look:
        fit = self.fits.of(model) if model.kind not in HELPERS else None
        return Look(words.state_mark(model, self._instance), is_favourite(model, self._marks), fit)
