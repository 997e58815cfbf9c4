"""Earlier conversations, the newest first; Enter opens one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kobold_tui.domain.chat import Conversation
from kobold_tui.domain.errors import KoboldError
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.registry import Services
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.row_list import Cell, RowList


class ConversationsScreen(ModalScreen[Conversation | None]):
    """A window with a list; dismissed with the chosen conversation or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape", "dismiss(None)", "Close", id="conversations.close", tooltip="Close without a choice"
        ),
    ]
    DEFAULT_CSS = """
    ConversationsScreen { align: center middle; }
    ConversationsScreen > Vertical { width: 90; max-width: 94%; height: 70%; }
    ConversationsScreen Static { height: auto; padding: 1 2; display: none; }
    ConversationsScreen .-empty Static { display: block; }
    ConversationsScreen .-empty RowList { display: none; }
    """

    def __init__(self, backend: BackendThread[Services]) -> None:
        super().__init__()
        self._backend = backend
        self._list: RowList[Conversation] = RowList(_draw)

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical() as window:
            window.border_title = "Conversations"
            window.border_subtitle = "Enter opens · Esc closes"
            yield Static("No conversation yet.", markup=False)
            yield self._list

    async def on_mount(self) -> None:
        """Fetch the list."""
        try:
            found = await self._backend.call(lambda services: services.chat.conversations(1000))
        except KoboldError as error:
            self.notify(str(error), severity="error")
            found = ()
        self._list.show(found)
        self.query_one(Vertical).set_class(not found, "-empty")
        self._list.focus()

    def on_row_list_selected(self) -> None:
        """Open the row."""
        self.dismiss(self._list.current)


def _draw(conversation: Conversation, width: int) -> Sequence[Cell]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(conversation.updated_at))
    title = fit(conversation.title or "untitled", max(0, width - 20))
    return [(f" {title} ", "row--text"), (fit_right(when, 18), "row--quiet")]
