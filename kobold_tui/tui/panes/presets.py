"""The presets there are and what can be done with them; the list follows their files as they change."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import Instance
from kobold_tui.domain.preset_file import DeletedPreset, PresetFile, PresetList
from kobold_tui.services.launch import Launch
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.messages import FailureReported, LaunchRequested, PaneRequested
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.preset_fits import fits
from kobold_tui.tui.preset_work import PresetWork
from kobold_tui.tui.registry import PaneCommand, PaneSpec
from kobold_tui.tui.widgets.fit_text import safe
from kobold_tui.tui.widgets.preset_rows import Fit, PresetRow, draw_row, rows_of, titles, told
from kobold_tui.tui.widgets.row_list import RowList

HELP = """\
A preset is a model with all its settings; one without a model goes with any. **Enter** loads it in place of
what is loaded, **b** beside that. **n** makes one of what is loaded now, **e** edits it in a form, **v** its
file in your editor. **c** copies, **m** renames, **d** deletes, **u** takes that back. **space** marks two,
**=** compares them. **i** imports a file of KoboldCpp and tells all that becomes of it, **x** exports.
Marks: **●** on the GPU, **◐** partly, **○** on the CPU, **✗** does not fit, **?** no model, **▶** loaded.
A star says that it is loaded with settings that its file has not.
"""


class PresetsPane(Pane):
    """The list of presets and two lines about the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "load", "Load", id="presets.load", tooltip="Load the preset under the cursor"),
        Binding("b", "beside", "Load beside", id="presets.beside", tooltip="Load it beside the others"),
        Binding("e", "edit", "Edit", id="presets.edit", tooltip="Edit it in a form"),
        Binding("n", "create", "New", id="presets.new", tooltip="New from what is loaded now"),
        Binding("c", "duplicate", "Copy", id="presets.duplicate", tooltip="Duplicate it"),
        Binding("m", "rename", "Rename", id="presets.rename", tooltip="Give it another name"),
        Binding("d,delete", "delete", "Delete", id="presets.delete", tooltip="Delete it; u takes it back"),
        Binding("u", "undo", "Undelete", id="presets.undo", tooltip="Take the last deletion back"),
        Binding("space", "mark", "Mark", id="presets.mark", tooltip="Mark it for a comparison"),
        Binding("equals_sign", "compare", "Compare", id="presets.compare", tooltip="Compare two presets"),
        Binding("v,ctrl+e", "editor", "Editor", id="presets.editor", tooltip="Open its file in your editor"),
        Binding("i", "import", "Import", id="presets.import", tooltip="Import a file of KoboldCpp"),
        Binding("x", "export", "Export", id="presets.export", tooltip="Export to a file of KoboldCpp"),
    ]
    DEFAULT_CSS = """
    PresetsPane > #presets-titles { height: 1; }
    PresetsPane > #presets-detail { height: 3; padding: 0 1; }
    """

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "presets")
        self._found = PresetList()
        self._fits: dict[str, Fit] = {}
        self._marked: tuple[str, ...] = ()
        self._deleted: list[DeletedPreset] = []
        self._wanted_name = ""
        self._list: RowList[PresetRow] = RowList(draw_row, id="presets-list", identity=lambda row: row.name)

    def compose(self) -> ComposeResult:
        """Lay out the titles, the rows and the lines below."""
        yield Static("", id="presets-titles", markup=False)
        yield self._list
        yield Static("", id="presets-detail", markup=False)

    @property
    def first_focus(self) -> Widget:
        """The rows."""
        return self._list

    def on_mount(self) -> None:
        """Follow the files."""
        self._work = PresetWork(self.app, self.context.backend)
        self.run_worker(self._follow(), exit_on_error=False)

    def on_resize(self) -> None:
        """Write the titles above their columns, once these have their width."""
        self.call_after_refresh(self._show)

    def watch_launch(self, _launch: Launch | None) -> None:
        """Mark what is loaded, and what it has that its file has not."""
        self._show()

    def watch_instance(self, old: Instance | None, new: Instance | None) -> None:
        """Judge anew once memory was taken or given back."""
        if type(old.state if old else None) is not type(new.state if new else None):
            self._judge_again()

    def watch_reading(self, old: Reading | None, new: Reading | None) -> None:
        """Judge once the hardware is known."""
        if (old is None or old.telemetry is None) and new is not None and new.telemetry is not None:
            self._judge_again()

    def on_row_list_highlighted(self) -> None:
        """Tell about the row under the cursor."""
        row = self._list.current
        text = told(row) if row is not None else "No preset yet: n makes one of what is loaded."
        self.query_one("#presets-detail", Static).update("\n".join(map(safe, text.split("\n"))))
        self.refresh_bindings()

    def on_row_list_selected(self) -> None:
        """Load the row."""
        self.action_load()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible now."""
        row = self._list.current
        if action in {"load", "beside", "edit", "duplicate", "rename", "delete", "mark", "export"}:
            return row is not None and row.stored is not None
        if action == "editor":
            return row is not None and row.path is not None
        if action == "compare":
            return len(self._pair()) == 2
        return bool(self._deleted) if action == "undo" else True

    def action_load(self) -> None:
        """Load the preset; a recipe goes with the model that is loaded."""
        if (stored := self._stored) is not None:
            self._do(self._load(stored))

    def action_beside(self) -> None:
        """Load the preset, and keep what is loaded."""
        if (stored := self._stored) is not None:
            self._do(self._load(stored, beside=True))

    def action_create(self) -> None:
        """Make a preset of what is loaded now."""
        self._do(self._tell(self._work.create(self.launch), "Saved"))

    def action_duplicate(self) -> None:
        """Copy the preset."""
        if (stored := self._stored) is not None:
            self._do(self._tell(self._work.duplicate(stored), "Saved"))

    def action_rename(self) -> None:
        """Give the preset another name."""
        if (stored := self._stored) is not None:
            self._do(self._tell(self._work.rename(stored), "Renamed"))

    def action_edit(self) -> None:
        """Edit the preset in the form."""
        if (stored := self._stored) is not None:
            self._do(self._tell(self._work.edit(stored), "Saved"))

    def action_editor(self) -> None:
        """Edit the file in the person's editor; of one that is not to be written a copy."""
        if (row := self._list.current) is not None:
            self._do(self._edit_text(row))

    def action_delete(self) -> None:
        """Delete the preset; `u` takes it back."""
        if (stored := self._stored) is not None:
            self._do(self._delete(stored))

    def action_undo(self) -> None:
        """Take the last deletion back."""
        self._do(self._undo())

    def action_mark(self) -> None:
        """Mark the preset, or end that; of three the first mark goes."""
        if (stored := self._stored) is not None:
            name = stored.preset.name
            others = tuple(other for other in self._marked if other != name)
            self._marked = others if name in self._marked else (*others[-1:], name)
            self._show()

    def action_compare(self) -> None:
        """Compare the two that are marked, or the one that is with the one under the cursor."""
        self._do(self._work.compare(*self._pair()))

    def action_import(self) -> None:
        """Import a file of KoboldCpp."""
        self._do(self._import())

    def action_export(self) -> None:
        """Export to a file of KoboldCpp."""
        if (stored := self._stored) is not None:
            self._do(self._work.give_out(stored))

    @property
    def _stored(self) -> PresetFile | None:
        return self._list.current.stored if self._list.current is not None else None

    def _pair(self) -> tuple[str, ...]:
        stored = self._stored
        here = stored.preset.name if stored is not None else ""
        return (
            self._marked if len(self._marked) == 2 or here in {"", *self._marked} else (*self._marked, here)
        )

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        self.run_worker(self._told_errors(work), group="preset", exclusive=True, exit_on_error=False)

    async def _told_errors(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))

    async def _tell(self, work: Awaitable[PresetFile | None], verb: str) -> None:
        if (stored := await work) is not None:
            self._go_to(stored.preset.name)
            self.notify(f"{verb} {stored.preset.name}", markup=False)

    async def _load(self, stored: PresetFile, *, beside: bool = False) -> None:
        name = stored.preset.name
        model = self.launch.model.path if stored.preset.is_recipe and self.launch is not None else None
        launch = await self.context.backend.call(lambda services: services.launch.resolve(name, model))
        self.post_message(LaunchRequested(launch, beside=beside))
        self.post_message(PaneRequested("chat"))

    async def _edit_text(self, row: PresetRow) -> None:
        if row.stored is not None and not row.stored.writable:
            self._go_to((await self._work.copy_and_edit(row.stored.preset)).preset.name)
        elif row.path is not None:
            await self._work.edit_text(row.path)

    async def _delete(self, stored: PresetFile) -> None:
        name = stored.preset.name
        deleted = await self.context.backend.call(lambda services: services.presets.delete(name), finish=True)
        self._deleted.append(deleted)
        self.refresh_bindings()
        self.notify(f"Deleted {name}; u takes it back", markup=False)

    async def _undo(self) -> None:
        deleted = self._deleted[-1]
        stored = await self.context.backend.call(lambda services: services.presets.undelete(deleted))
        self._deleted.remove(deleted)
        self._go_to(stored.preset.name)

    async def _import(self) -> None:
        if (done := await self._work.take_in()) is not None:
            self._go_to(done.stored.preset.name)
            others = "".join(f", {other.preset.name}" for other in done.companions)
            self.notify(f"Imported {done.stored.preset.name}{others}", markup=False)

    async def _follow(self) -> None:
        try:
            async for batch in self.context.backend.stream(lambda services: services.presets.watch()):
                self._found = batch[-1]
                self._show()
                self._judge_again()
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))

    def _judge_again(self) -> None:
        if self.is_mounted and self.reading is not None and self._found.presets:
            self.run_worker(self._judge(), group="preset-fit", exclusive=True, exit_on_error=False)

    async def _judge(self) -> None:
        if self.reading is None or (telemetry := self.reading.telemetry) is None:
            return
        presets, leaving = self._found.presets, self.instance.id if self.instance else None
        async for batch in self.context.backend.stream(
            lambda services: fits(services, presets, telemetry, leaving)
        ):
            self._fits.update(batch)
            self._show()

    def _go_to(self, name: str) -> None:
        self._wanted_name = name
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        rows = tuple(rows_of(self._found, self._fits, self._marked, self.launch))
        self._list.show(rows)
        place = next((index for index, row in enumerate(rows) if row.name == self._wanted_name), None)
        if place is not None:
            self._wanted_name = ""
            self._list.place(place)
        self.query_one("#presets-titles", Static).update(titles(max(20, self._list.row_width)))
        self.on_row_list_highlighted()


PANE = PaneSpec(
    id="presets",
    title="Presets",
    region="main",
    order=70,
    key="f7",
    summary="models with all their settings",
    help=HELP,
    build=PresetsPane,
    commands=(
        PaneCommand(title="New preset", action="create", help="Of what is loaded now"),
        PaneCommand(title="Import from KoboldCpp", action="import", help="A .kcpps or .kcppt file"),
    ),
)
