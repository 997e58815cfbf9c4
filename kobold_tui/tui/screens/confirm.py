"""A question before something that cannot be undone; it names what happens, and Enter alone never does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from kobold_tui.tui.widgets.fit_text import safe


class ConfirmScreen(ModalScreen[bool]):
    """A window with a title, lines about the consequences and two buttons; dismissed with the answer.

    `yes` and `no` say in a verb what each does. The focus begins on `no`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes", id="confirm.yes", tooltip="Do it"),
        Binding("escape,n", "dismiss(False)", "No", id="confirm.no", tooltip="Leave everything as it is"),
        Binding("left,right", "other", "", show=False, id="confirm.other", tooltip="The other button"),
    ]
    DEFAULT_CSS = """
    ConfirmScreen { align: center middle; }
    ConfirmScreen > Vertical { width: 84; max-width: 96%; height: auto; max-height: 90%; padding: 1 2; }
    ConfirmScreen VerticalScroll { height: auto; max-height: 14; scrollbar-size: 1 1; }
    ConfirmScreen VerticalScroll > Static { height: auto; }
    ConfirmScreen #confirm-buttons { height: 1; margin-top: 1; align-horizontal: right; }
    ConfirmScreen Button { margin-left: 2; }
    """

    def __init__(self, title: str, lines: Sequence[str], *, yes: str = "Yes", no: str = "Cancel") -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)
        self._yes = yes
        self._no = no

    def compose(self) -> ComposeResult:
        """Lay out the consequences above the buttons."""
        with Vertical() as window:
            window.border_title = safe(self._title)
            window.border_subtitle = "y does it · Esc cancels"
            with VerticalScroll(can_focus=False):
                yield Static("\n".join(map(safe, self._lines)), id="confirm-lines", markup=False)
            with Horizontal(id="confirm-buttons"):
                yield Button(self._no, id="confirm-no", compact=True)
                yield Button(self._yes, id="confirm-yes", compact=True, variant="error")

    def on_mount(self) -> None:
        """Begin with the button that does nothing."""
        self.query_one("#confirm-no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "confirm-yes")

    def action_other(self) -> None:
        """Go to the other button."""
        self.focus_next(Button)
