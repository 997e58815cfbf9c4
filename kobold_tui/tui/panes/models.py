"""The models there are and what can be done with them; the list follows the catalogue as it changes."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import Instance, Ready
from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.domain.size_rule import FreeMemory
from kobold_tui.domain.units import format_bytes
from kobold_tui.services.favourites import Marks
from kobold_tui.services.registry import Services
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.messages import (
    CopyRequested,
    FailureReported,
    LoadRequested,
    ModelHighlighted,
    PaneRequested,
    UnloadRequested,
)
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneCommand, PaneSpec, find_panes
from kobold_tui.tui.widgets import model_words as words
from kobold_tui.tui.widgets.model_arrangement import Heading
from kobold_tui.tui.widgets.model_browser import ModelBrowser
from kobold_tui.tui.widgets.model_columns import HELPERS
from kobold_tui.tui.widgets.model_starters import StarterList

EDITORS = ("tune", "presets")
"""Panes that change how a model is loaded, the best first."""

ASK_SECONDS = 0.05
T = TypeVar("T")


class ModelsPane(Pane):
    """The table of models and a few lines about the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "load", "Load", id="models.load", tooltip="Load the model under the cursor"),
        Binding("i,space,right", "details", "Details", id="models.details", tooltip="All that it says"),
        Binding("e", "edit", "Edit", id="models.edit", tooltip="Change how it is loaded"),
        Binding("f", "favourite", "★", id="models.favourite", tooltip="Make it a favourite, or end that"),
        Binding(
            "ctrl+d,D", "download", "Download", id="models.download", tooltip="Download from Hugging Face"
        ),
        Binding("y", "copy_path", "Copy path", id="models.copy-path", tooltip="Copy the path of the file"),
        Binding("o", "folder", "", show=False, id="models.folder", tooltip="Open its folder"),
        Binding("delete,d", "delete", "Delete", id="models.delete", tooltip="Delete its files"),
        Binding("w", "widen", "", show=False, id="models.widen", tooltip="Give the list the whole width"),
        Binding("u", "unload", "Unload", id="models.unload", tooltip="Unload the model and free its memory"),
        Binding("r", "rescan", "Rescan", id="models.rescan", tooltip="Look for models again"),
    ]

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "models")
        self.border_title = "Models"
        self._browser = ModelBrowser(self._want_fits)
        self._marks = Marks()

    def compose(self) -> ComposeResult:
        """Lay out the browser."""
        yield self._browser

    def on_mount(self) -> None:
        """Follow the catalogue."""
        self.run_worker(self._follow(), exit_on_error=False)

    @property
    def first_focus(self) -> Widget:
        """The rows, or the models to begin with."""
        return self._browser.focus_target

    def watch_wanted(self, wanted: ModelEntry | None) -> None:
        """Put the cursor on the model that the command line names, wherever its file lies."""
        if wanted is not None:
            self._browser.want(wanted)

    def watch_instance(self, old: Instance | None, new: Instance | None) -> None:
        """Show which model is loaded, and remember that it was used."""
        self._browser.tell_loaded(new)
        is_ready = new is not None and isinstance(new.state, Ready) and new.spec.endpoint is None
        if new is not None and is_ready and (old is None or old.state != new.state):
            path = new.spec.path
            self._run(lambda services: services.favourites.note_used(path), self._take_marks)

    def watch_reading(self, reading: Reading | None) -> None:
        """Judge anew where a different amount of memory is free."""
        if reading is not None and reading.telemetry is not None:
            telemetry, leaving = reading.telemetry, self.instance.id if self.instance else None
            self._run(lambda services: services.suitability.free(telemetry, leaving), self._measure)

    def on_model_browser_changed(self) -> None:
        """Tell how many rows there are and in which order."""
        self.border_subtitle = self._browser.table.words_of_order

    def on_model_browser_highlighted(self) -> None:
        """Tell which model the cursor stands on."""
        self.post_message(ModelHighlighted(self._browser.model))

    def on_row_list_selected(self) -> None:
        """Load the row."""
        self.action_load()

    def on_starter_list_chosen(self, event: StarterList.Chosen) -> None:
        """Search for a model to begin with."""
        self._download(event.starter.words)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible now."""
        if action in {"load", "details", "edit", "favourite", "copy_path", "folder", "delete"}:
            return not self._browser.is_empty
        return action != "widen" or not self.screen.has_class("-narrow")

    def action_load(self) -> None:
        """Ask for the model under the cursor; a group folds instead."""
        row = self._browser.row
        if isinstance(row, Heading):
            self._browser.table.toggle(row)
        elif isinstance(row, ModelFault):
            self._fail(f"{row.path}: {row.reason}", "Choose another model.")
        elif row is not None and row.kind in HELPERS:
            self._fail(*words.why_not(row))
        elif row is not None:
            self.post_message(LoadRequested(row))

    def action_details(self) -> None:
        """Show everything about the model under the cursor."""
        row = self._browser.row
        if isinstance(row, ModelFault):
            self._fail(f"{row.path}: {row.reason}", "Download it again, or delete it.")
        elif isinstance(row, ModelEntry):
            from kobold_tui.tui.screens.model_details import ModelDetailsScreen

            fit_words = words.fit_words(row, self._browser.fits.known(row))
            self.app.push_screen(ModelDetailsScreen(self.context, row, fit_words))

    def action_edit(self) -> None:
        """Go where the way to load is changed; the details, where there is no such place."""
        panes = {spec.id for spec in find_panes()}
        editor = next((pane for pane in EDITORS if pane in panes), None)
        if self._browser.model is not None and editor is not None:
            self.post_message(ModelHighlighted(self._browser.model))
            self.post_message(PaneRequested(editor))
        else:
            self.action_details()

    def action_favourite(self) -> None:
        """Make the model a favourite, or end that; it moves when the list is next arranged."""
        if (model := self._browser.model) is not None:
            places = (model.path, *model.copies)
            self._run(lambda services: services.favourites.toggle(places), self._take_marks)

    def action_copy_path(self) -> None:
        """Copy the path of the file."""
        row = self._browser.row
        if isinstance(row, ModelEntry | ModelFault):
            self.post_message(CopyRequested(row.path, "the path"))

    def action_folder(self) -> None:
        """Open the folder on the desktop; without one, copy a command that goes there."""
        row = self._browser.row
        if isinstance(row, ModelEntry | ModelFault):
            path = row.path
            self._run(
                lambda services: services.model_files.show_folder(path),
                lambda shown: None if shown else self._copy_folder(path),
            )

    def action_delete(self) -> None:
        """Delete the model, after a question that names every file."""
        if (model := self._browser.model) is not None:
            self.run_worker(self._delete(model), group="delete", exclusive=True, exit_on_error=False)

    def action_download(self) -> None:
        """Search Hugging Face, beginning with the words of a filter that has found nothing."""
        self._download("" if self._browser.table.rows.items else self._browser.table.order.words)

    def action_widen(self) -> None:
        """Give the list the whole width, or give it back."""
        self.screen.toggle_class("-browse")

    def action_unload(self) -> None:
        """Ask for the loaded model to go."""
        self.post_message(UnloadRequested())

    def action_rescan(self) -> None:
        """Look for models again, and arrange them by what is a favourite now."""
        self._browser.mark(self._marks, arranges=True)

        async def look(services: Services) -> None:
            services.models.look_again()

        self._run(look, lambda _: None)

    async def _follow(self) -> None:
        backend = self.context.backend
        try:
            self._marks = await backend.call(lambda services: services.favourites.marks())
            self._browser.mark(self._marks, arranges=True)
            async for batch in backend.stream(lambda services: services.models.watch()):
                self._browser.show(batch[-1])
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))

    def _take_marks(self, marks: Marks) -> None:
        self._marks = marks
        self._browser.mark(marks)

    def _measure(self, free: FreeMemory) -> None:
        if self._browser.fits.measure(free):
            self._browser.redraw()

    def _want_fits(self) -> None:
        self.set_timer(ASK_SECONDS, self._ask_fits)

    def _ask_fits(self) -> None:
        self.run_worker(self._judge(), group="fit", exclusive=False, exit_on_error=False)

    async def _judge(self) -> None:
        reading, models = self.reading, self._browser.fits.take_wanted()
        if reading is None or reading.telemetry is None or not models:
            return
        telemetry, leaving = reading.telemetry, self.instance.id if self.instance else None
        verdicts = await self.context.backend.call(
            lambda services: services.suitability.judge(models, telemetry, leaving)
        )
        if self._browser.fits.learn(verdicts):
            self._browser.redraw()

    async def _delete(self, model: ModelEntry) -> None:
        from kobold_tui.tui.screens.confirm import ConfirmScreen

        backend = self.context.backend
        try:
            removal = await backend.call(lambda services: services.model_files.plan_removal(model))
            title, lines = words.removal_question(removal)
            if not await self.app.push_screen_wait(ConfirmScreen(title, lines, yes="Delete", no="Keep")):
                return
            freed = await backend.call(lambda services: services.model_files.remove(removal), finish=True)
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))
        else:
            self.notify(f"{model.name} is deleted; {format_bytes(freed)} are free again.")
        self.action_rescan()

    def _download(self, search: str) -> None:
        from kobold_tui.tui.screens.download import DownloadScreen

        self.app.push_screen(DownloadScreen(self.context, search))

    def _copy_folder(self, path: str) -> None:
        folder = str(PurePath(path).parent)
        self.post_message(CopyRequested(f"cd {shlex.quote(folder)}", "a command that goes to the folder"))

    def _fail(self, message: str, hint: str) -> None:
        self.post_message(FailureReported(KoboldError("Cannot be used", message, hint).failure))

    def _run(self, use: Callable[[Services], Awaitable[T]], then: Callable[[T], object]) -> None:
        self.run_worker(self._call(use, then), exit_on_error=False)

    async def _call(self, use: Callable[[Services], Awaitable[T]], then: Callable[[T], object]) -> None:
        try:
            then(await self.context.backend.call(use))
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))


PANE = PaneSpec(
    id="models",
    title="Models",
    region="side",
    order=10,
    key="f2",
    summary="find and load models",
    help=words.HELP,
    build=ModelsPane,
    commands=(
        PaneCommand(title="Rescan models", action="rescan", help="Look for models again"),
        PaneCommand(title="Unload the model", action="unload", help="Free its memory"),
        PaneCommand(title="Model details", action="details", help="Everything the file says"),
        PaneCommand(title="Delete the model", action="delete", help="After a question"),
    ),
)
