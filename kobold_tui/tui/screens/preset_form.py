"""The form for a preset: every key with its title, value, range and help, checked as it is typed.

The rows are a list and one field below it takes the text, so that eighty keys cost no more than one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.tui.widgets.fit_text import fit, safe
from kobold_tui.tui.widgets.form_fields import (
    Field,
    choices,
    fields_of,
    next_choice,
    parse,
    text_of,
    value_at,
)
from kobold_tui.tui.widgets.form_fields import with_value as with_field
from kobold_tui.tui.widgets.row_list import Cell, RowList

SECTIONS = {
    "": "Model",
    "load": "Loading",
    "sampling": "Sampling",
    "chat": "Conversation",
    "memory": "Memory",
}
_NOT_HERE = frozenset({"name"})
_TITLE_WIDTH = 22


class Entry(NamedTuple):
    """A row: a field with its text and what is wrong with that; a heading has no field."""

    heading: str = ""
    field: Field | None = None
    text: str = ""
    wrong: str = ""
    is_changed: bool = False


class PresetFormScreen(ModalScreen[Preset | None]):
    """A window over the workbench; dismissed with the changed preset, None when it was left."""

    HELP_TITLE: ClassVar[str] = "Edit a preset"
    HELP_TEXT: ClassVar[str] = """\
Every key of a preset, with what it takes and what it is for. **Enter** goes into a value and back; **space**,
**←** and **→** step through choices. A **•** marks what differs from the default. What is wrong is said
beside the field, and nothing is saved before it is mended.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", priority=True, id="preset-form.save", tooltip="Save the preset"),
        Binding("escape", "leave", "Back", id="preset-form.leave", tooltip="Back to the list, then out"),
        Binding("space,right", "step(1)", "Next", id="preset-form.next", tooltip="The next choice"),
        Binding("left", "step(-1)", "", show=False, id="preset-form.previous", tooltip="The choice before"),
        Binding("delete", "reset", "Default", id="preset-form.reset", tooltip="Back to the default"),
    ]
    DEFAULT_CSS = """
    PresetFormScreen { align: center middle; }
    PresetFormScreen > Vertical { width: 100; max-width: 98%; height: 90%; padding: 0 1; }
    PresetFormScreen #form-help { height: 2; }
    PresetFormScreen #form-error { height: 1; }
    PresetFormScreen #form-input { height: 1; }
    """

    def __init__(self, preset: Preset, note: str = "") -> None:
        """Make a form over `preset`; `note` says why a save before this did not go through."""
        super().__init__()
        self._preset = preset
        self._note = note
        self._fields = tuple(field for field in fields_of(Preset) if field.key not in _NOT_HERE)
        self._texts = {field.key: text_of(field, value_at(preset, field.key)) for field in self._fields}
        self._wrong: dict[str, str] = {}
        self._list: RowList[Entry] = RowList(
            draw_entry, id="form-list", identity=_identity, is_heading=lambda row: row.field is None
        )

    def compose(self) -> ComposeResult:
        """Lay out the rows above the field and its help."""
        with Vertical() as window:
            window.border_title = f"Preset · {safe(self._preset.name)}"
            window.border_subtitle = "Enter edits · ctrl+s saves · Esc leaves"
            yield self._list
            yield Static("", id="form-help", markup=False)
            yield Input(compact=True, id="form-input", select_on_focus=False)
            yield Static("", id="form-error", markup=False)

    def on_mount(self) -> None:
        """Begin with the first field."""
        self.query_one("#form-input", Input).cursor_blink = False
        self._list.show(self._rows())
        self._list.focus()
        self.call_after_refresh(self._list.scroll_home, animate=False)
        self._say(self._note)

    def on_row_list_highlighted(self) -> None:
        """Explain the field under the cursor, and have its text at hand."""
        row, entered = self._list.current, self.query_one("#form-input", Input)
        if row is None or row.field is None:
            self.query_one("#form-help", Static).update("")
            with entered.prevent(Input.Changed):
                entered.value = ""
            return
        entered.disabled = safe(row.text) != row.text
        if entered.value != safe(row.text):
            with entered.prevent(Input.Changed):
                entered.value = safe(row.text)
        unit = f" · {row.field.unit}" if row.field.unit else ""
        told = f"{row.field.key}{unit}: {row.field.takes}.\n{row.field.help}"
        self.query_one("#form-help", Static).update(safe_lines(told))
        self._say(row.wrong)

    def on_row_list_selected(self) -> None:
        """Go into the value, unless one line cannot hold it."""
        row = self._list.current
        if row is not None and safe(row.text) != row.text:
            self._say("It has several lines: leave the form, and press v for the editor.")
        elif self._field is not None:
            self.query_one("#form-input", Input).focus()
            self.query_one("#form-input", Input).action_end()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check what stands there now, and show it in its row."""
        if self._field is not None and event.value != safe(self._texts[self._field.key]):
            self._enter(self._field, event.value)

    def on_input_submitted(self) -> None:
        """Go back to the rows, to the next one."""
        self._list.focus()
        self._list.action_move(1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer keys of the rows only while these have the keys."""
        if action == "step":
            return self._list.has_focus and self._field is not None and bool(choices(self._field))
        return action != "reset" or self._list.has_focus

    def action_step(self, by: int) -> None:
        """Take the next choice, or the one before."""
        if (field := self._field) is not None:
            self._enter(field, next_choice(field, self._texts[field.key], by))

    def action_reset(self) -> None:
        """Give the field its default."""
        if (field := self._field) is not None:
            self._enter(field, text_of(field, value_at(_DEFAULTS, field.key)))

    def action_leave(self) -> None:
        """Go back from the value to the rows, from there out."""
        if self._list.has_focus:
            self.dismiss(None)
        else:
            self._list.focus()

    def action_save(self) -> None:
        """Hand the preset over, or go to the first field that is wrong."""
        if not self._wrong:
            self.dismiss(self._preset)
            return
        first = next(iter(self._wrong))
        rows = self._list.items
        self._list.place(next(i for i, row in enumerate(rows) if row.field and row.field.key == first))
        self._list.focus()
        self._say(self._wrong[first])

    @property
    def _field(self) -> Field | None:
        row = self._list.current
        return row.field if row is not None else None

    def _enter(self, field: Field, text: str) -> None:
        self._texts[field.key] = text
        try:
            value: Any = parse(field, text)
        except KoboldError as error:
            self._wrong[field.key] = error.hint
        else:
            self._wrong.pop(field.key, None)
            self._preset = with_field(self._preset, field.key, value)
        self._list.show(self._rows())
        self.on_row_list_highlighted()

    def _say(self, text: str) -> None:
        error = self.query_one("#form-error", Static)
        error.update(safe(text))
        error.set_class(bool(text), "-error")

    def _rows(self) -> Sequence[Entry]:
        return tuple(self._entries())

    def _entries(self) -> Iterator[Entry]:
        section = None
        for field in self._fields:
            if field.section != section:
                section = field.section
                yield Entry(heading=SECTIONS.get(section, section))
            text = self._texts[field.key]
            changed = text != text_of(field, value_at(_DEFAULTS, field.key))
            yield Entry(field=field, text=text, wrong=self._wrong.get(field.key, ""), is_changed=changed)


_DEFAULTS = Preset(name="default")


def draw_entry(row: Entry, width: int) -> Sequence[Cell]:
    """Return the cells of a row: mark, title, value, and what is wrong or the unit."""
    if row.field is None:
        return [(fit(f" {row.heading}", width), "row--head")]
    value_width = max(10, (width - _TITLE_WIDTH - 4) // (2 if row.wrong or row.field.unit else 1))
    rest = max(0, width - _TITLE_WIDTH - 4 - value_width)
    mark = ("✗", "row--bad") if row.wrong else ("•", "row--accent") if row.is_changed else (" ", "row--quiet")
    shown = row.text.replace("\n", " ⏎ ") or "–"
    look = "row--bad" if row.wrong else "row--text" if row.is_changed else "row--quiet"
    tail = f" {row.wrong}" if row.wrong else f" {row.field.unit}"
    return [
        (" ", "row--text"),
        mark,
        (f" {fit(row.field.title, _TITLE_WIDTH)} ", "row--text"),
        (fit(shown, value_width), look),
        (fit(tail, rest), "row--bad" if row.wrong else "row--quiet"),
    ]


def safe_lines(text: str) -> str:
    """Return text without control characters but for line breaks."""
    return "\n".join(safe(line) for line in text.split("\n"))


def _identity(row: Entry) -> object:
    return row.field.key if row.field is not None else row.heading
