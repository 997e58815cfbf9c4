"""F1: what the focused pane is for, and every key that works there."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static

KeyRow = tuple[str, str]
"""Key and explanation."""

KeySection = tuple[str, tuple[KeyRow, ...]]
"""Heading and keys."""


class HelpScreen(ModalScreen[None]):
    """A window with the pane's help text and the keys; Esc or F1 closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "dismiss", "Close", id="help.close", tooltip="Close the help"),
    ]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll { width: 80; max-width: 94%; height: auto; max-height: 90%; padding: 1 2; }
    HelpScreen Markdown { height: auto; margin: 0; padding: 0; background: transparent; }
    HelpScreen Static { height: auto; }
    HelpScreen .help-heading { margin-top: 1; text-style: bold; }
    """

    def __init__(self, title: str, text: str, keys: tuple[KeySection, ...]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Lay out the text above the keys."""
        with VerticalScroll() as window:
            window.border_title = f"Help · {self._title}"
            window.border_subtitle = "Esc closes"
            yield Markdown(self._text)
            wide = max((len(key) for _, rows in self._keys for key, _ in rows), default=0)
            for heading, rows in self._keys:
                yield Static(heading, classes="help-heading", markup=False)
                yield Static("\n".join(f"{key:<{wide}}  {text}" for key, text in rows), markup=False)
