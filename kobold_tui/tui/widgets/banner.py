"""A notice of a few lines that stays until it is dismissed: what happened, in words, and what to press.

Its texts come from engines and files, so they are shown as plain text and never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from kobold_tui.tui.widgets.transcript_blocks import displayable

BannerKind = Literal["info", "warning", "error"]

_SIGNS: dict[BannerKind, str] = {"info": "i", "warning": "!", "error": "✗"}


class Banner(Widget, can_focus=False):
    """Hidden until `show`; while it offers a restart it can take the focus, and `r` asks for one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "restart", "Restart", id="banner.restart", tooltip="Load the model again"),
        Binding("x", "dismiss", "Dismiss", id="banner.dismiss", tooltip="Take the notice away"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"banner--title", "banner--log", "banner--key"}
    DEFAULT_CSS = """
    Banner {
        display: none;
        height: auto;
        max-height: 12;
        padding: 0 1;
        background: $panel;
        color: $foreground;
        border-left: thick $quiet;
        & > .banner--title { text-style: bold; }
        & > .banner--log { color: $quiet; }
        & > .banner--key { color: $accent; text-style: bold; }
        &.-shown { display: block; }
        &.-warning { border-left: thick $warning; }
        &.-warning > .banner--title { color: $warning; }
        &.-error { border-left: thick $error; }
        &.-error > .banner--title { color: $error; }
        &:focus { background: $surface; }
    }
    """

    class Dismissed(Message):
        """The notice was taken away."""

    class RestartRequested(Message):
        """Somebody wants the failed model back."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=classes)
        self._kind: BannerKind = "info"
        self._title = ""
        self._text = ""
        self._lines: tuple[str, ...] = ()
        self._restart = False

    @property
    def is_shown(self) -> bool:
        """Whether there is a notice."""
        return self.has_class("-shown")

    def show(
        self,
        kind: BannerKind,
        title: str,
        text: str,
        *,
        lines: Sequence[str] = (),
        restart: bool = False,
    ) -> None:
        """Show a notice in place of the one before; `lines` are of a log, oldest first."""
        self._kind, self._title, self._text = kind, displayable(title), displayable(text)
        self._lines = tuple(displayable(line).rstrip() for line in lines)
        self._restart = restart
        self.can_focus = restart
        self.set_class(kind == "warning", "-warning")
        self.set_class(kind == "error", "-error")
        self.add_class("-shown")
        self.refresh(layout=True)

    def dismiss(self) -> None:
        """Take the notice away."""
        if self.is_shown:
            self.remove_class("-shown")
            self._restart = self.can_focus = False
            self.post_message(self.Dismissed())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Offer the restart only where there is something to restart."""
        return self._restart if action == "restart" else True

    def render(self) -> RenderResult:
        """Return sign, title, text, log lines and the key that helps."""
        title, log, key = (
            self.get_visual_style(f"banner--{name}", partial=True) for name in ("title", "log", "key")
        )
        parts = [Content.styled(f"{_SIGNS[self._kind]} {self._title}", title)]
        if self._text:
            parts.append(Content(self._text))
        if self._lines:
            parts.append(Content.styled("\n".join(self._lines), log))
        if not self._restart:
            parts.append(Content.assemble(("Esc", key), " dismisses this"))
        else:
            parts.append(
                Content.assemble(("ctrl+r", key), " restarts it; so does ", ("r", key), " here (Tab)")
            )
        return Content("\n").join(parts)

    def on_click(self) -> None:
        """Take the notice away at a click, unless it offers a restart."""
        if not self._restart:
            self.dismiss()

    def action_restart(self) -> None:
        """Ask for a restart."""
        self.post_message(self.RestartRequested())

    def action_dismiss(self) -> None:
        """Take the notice away."""
        self.dismiss()
