"""Small questions about presets: one line of text, or one of several ways to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from kobold_tui.tui.widgets.fit_text import safe

Check = Callable[[str], str]
"""Returns what is wrong with a text, nothing where it is right."""


class LineScreen(ModalScreen[str | None]):
    """A window with one field; dismissed with its text, None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="line.cancel", tooltip="Leave without a change"),
    ]
    DEFAULT_CSS = """
    LineScreen { align: center middle; }
    LineScreen > Vertical { width: 76; max-width: 94%; height: auto; padding: 1 2; }
    LineScreen Static { height: auto; }
    LineScreen Input { margin: 1 0; }
    """

    def __init__(
        self, title: str, note: str, text: str = "", *, verb: str = "saves", check: Check | None = None
    ) -> None:
        super().__init__()
        self._title, self._note, self._text, self._verb = title, note, text, verb
        self._check = check

    def compose(self) -> ComposeResult:
        """Lay out the field below its explanation."""
        with Vertical() as window:
            window.border_title = safe(self._title)
            window.border_subtitle = f"Enter {self._verb} · Esc cancels"
            yield Static(safe(self._note), markup=False)
            yield Input(self._text, compact=True, id="line-input")
            yield Static("", id="line-error", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say at once what is wrong."""
        self.query_one("#line-error", Static).update(safe(self._wrong(event.value)) if event.value else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, unless something is wrong."""
        if not (wrong := self._wrong(event.value)):
            self.dismiss(event.value.strip())
        else:
            self.query_one("#line-error", Static).update(safe(wrong))

    def _wrong(self, text: str) -> str:
        if not text.strip():
            return "Something must stand here."
        return self._check(text.strip()) if self._check else ""


class ChoiceScreen(ModalScreen[str | None]):
    """A window with a few ways to go on, the harmless one first; dismissed with the id of one, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="choice.cancel", tooltip="Leave everything as it is"),
        Binding("left", "app.focus_previous", "", show=False, id="choice.left", tooltip="The button before"),
        Binding("right", "app.focus_next", "", show=False, id="choice.right", tooltip="The next button"),
    ]
    DEFAULT_CSS = """
    ChoiceScreen { align: center middle; }
    ChoiceScreen > Vertical { width: 76; max-width: 94%; height: auto; padding: 1 2; }
    ChoiceScreen Static { height: auto; }
    ChoiceScreen Horizontal { height: 1; margin-top: 1; align-horizontal: right; }
    ChoiceScreen Button { margin-left: 2; }
    """

    def __init__(self, title: str, text: str, ways: Sequence[tuple[str, str]]) -> None:
        """Make a question; `ways` are ids and labels."""
        super().__init__()
        self._title, self._text, self._ways = title, text, tuple(ways)

    def compose(self) -> ComposeResult:
        """Lay out the question above its answers."""
        with Vertical() as window:
            window.border_title = safe(self._title)
            window.border_subtitle = "← → choose · Enter does it · Esc cancels"
            yield Static(safe(self._text), markup=False)
            with Horizontal():
                for way, label in self._ways:
                    yield Button(label, id=f"choice-{way}", compact=True)
                yield Button("Cancel", id="choice-cancel", compact=True)

    def on_mount(self) -> None:
        """Begin with the harmless way."""
        self.query(Button).first().focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        way = (event.button.id or "").removeprefix("choice-")
        self.dismiss(None if way == "cancel" else way)
