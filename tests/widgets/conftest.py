"""Hosts for widget tests: an app that gives the theme variables and shows one widget."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.app import App, ComposeResult
from textual.widget import Widget

from kobold_tui.tui.theming import variable_defaults
from kobold_tui.tui.widgets.transcript import Transcript


class Host(App[None]):
    """Shows one widget under the variables of the program."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def compose(self) -> ComposeResult:
        yield self.widget


@pytest.fixture
def host() -> Callable[[Widget], App[None]]:
    """Return what puts a widget into an app of its own."""
    return Host


@pytest.fixture
def transcript() -> Transcript:
    """Return the transcript that `app` shows."""
    return Transcript()


@pytest.fixture
def app(transcript: Transcript) -> App[None]:
    """Return an app that shows a transcript."""
    return Host(transcript)
