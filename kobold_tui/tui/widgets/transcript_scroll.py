"""The part of the transcript that scrolls: it follows the end or keeps the reader's place, and paints rows.

Heights of what was never in view are estimates. So every move draws what comes into view first and then
corrects the position by what that changed; only rows that differ from what is on screen are painted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive, var
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from kobold_tui.tui.widgets.transcript_layout import Bookmark, TranscriptLayout
from kobold_tui.tui.widgets.transcript_render import BlockRenderer, TranscriptStyles
from kobold_tui.tui.widgets.transcript_selection import highlighted, selected_text

NEW_BELOW = " ↓ new "
_CODE_STYLE_VARIABLE = "code-style"
_SETTLE_ROUNDS = 6


class TranscriptScroll(ScrollView, can_focus=True):
    """Rows of a `TranscriptLayout` in a view that stays at the end while the reader is there."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "transcript--label",
        "transcript--reasoning",
        "transcript--quiet",
        "transcript--interrupted",
        "transcript--user-mark",
        "transcript--selected-mark",
        "transcript--heading",
        "transcript--code",
        "transcript--code-block",
        "transcript--link",
        "transcript--quote",
        "transcript--rule",
        "transcript--new",
    }
    DEFAULT_CSS = """
    TranscriptScroll {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        color: $chat-assistant;
        & > .transcript--label { color: $chat-label; }
        & > .transcript--reasoning { color: $chat-reasoning; text-style: italic; }
        & > .transcript--quiet { color: $quiet; }
        & > .transcript--interrupted { color: $chat-interrupted; }
        & > .transcript--user-mark { color: $chat-user; }
        & > .transcript--selected-mark { color: $chat-selected; }
        & > .transcript--heading { color: $chat-heading; }
        & > .transcript--code { color: $chat-code; }
        & > .transcript--code-block { background: $chat-code-background; }
        & > .transcript--link { color: $chat-link; }
        & > .transcript--quote { color: $chat-quote; }
        & > .transcript--rule { color: $chat-rule; }
        & > .transcript--new { color: $background; background: $chat-selected; text-style: bold; }
    }
    """

    follow: reactive[bool] = reactive(True, repaint=False)
    """Whether the view stays at the end while text arrives."""
    page_scroll: var[bool] = var(False)
    """Move by half a page when growing text reaches the end: few repaints for a slow line."""

    @dataclass
    class FollowChanged(Message):
        """The view began or ceased to stay at the end."""

        follow: bool

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=classes)
        self._layout = TranscriptLayout(BlockRenderer(TranscriptStyles(), 80))
        self._painted: list[Strip | None] = []
        self._bookmark: Bookmark | None = None
        self._moving = False
        self._unseen = False
        self._base_style: Style | None = None

    @property
    def _width(self) -> int:
        """Columns of a row, beside the scrollbar."""
        return self.scrollable_content_region.width

    def scroll_to(self, x: float | None = None, y: float | None = None, **options: Any) -> None:
        """Scroll at once: heights may turn out different on the way, which an animation cannot follow."""
        super().scroll_to(x, y, **{**options, "animate": False})

    def render_line(self, y: int) -> Strip:
        """Return one row of the view."""
        if self._base_style is None:
            self._base_style = self.rich_style
        width, style, number = self._width, self._base_style, y + self.scroll_offset.y
        row = self._painted[y] if y < len(self._painted) else None
        row = (row or Strip.blank(width)).crop_extend(0, width, style).apply_style(style)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(number)) is not None:
            row = highlighted(row, *span, self.screen.get_component_rich_style("screen--selection"))
        row = row.apply_offsets(0, number)
        return self._with_news(row) if self._unseen and y == self.size.height - 1 else row

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected rows as text; of everything, the messages as they were written."""
        if selection.start is None and selection.end is None:
            return "\n\n".join(item.text for item in self._layout.items), "\n"
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self._layout.height - 1
        self._layout.measure(first, last + 1)
        rows = self._layout.rows(first, last + 1 - first)
        return selected_text(enumerate(rows, first), selection), "\n"

    def notify_style_update(self) -> None:
        """Draw anew where the theme has changed."""
        super().notify_style_update()
        self._base_style = None
        if self.is_mounted:
            self.call_later(self._restyle)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Draw what came into view; the reader decides by scrolling whether the view follows."""
        super().watch_scroll_y(old_value, new_value)
        if self._moving or not self.size.height:
            return
        self._bookmark = self._layout.bookmark(self.scroll_offset.y)
        top = self._settled_top()
        self._moving = True
        self.follow = top + self.size.height >= self._layout.height
        self._moving = False
        self._move(top)

    def watch_follow(self, follow: bool) -> None:
        """Go to the end where that is asked for."""
        if follow and self._unseen:
            self._unseen = False
            self.refresh()
        if follow and not self._moving:
            self.update_view()
        self.post_message(self.FollowChanged(follow))

    def on_mount(self) -> None:
        """Take the styles of the theme."""
        self._restyle()

    def on_resize(self) -> None:
        """Wrap anew and keep the reader's place."""
        self._restyle()

    def on_click(self, event: events.Click) -> None:
        """Go to what is new where the mark that announces it is clicked."""
        on_mark = event.y == self.size.height - 1 and event.x >= self._width - len(NEW_BELOW)
        if self._unseen and on_mark:
            event.stop()
            self.follow = True

    def update_view(self, *, growing: bool = False) -> None:
        """Bring the screen in line with the layout; a view of growing text moves ahead by some rows at once.

        Moving repaints the whole view, so doing it seldom is what keeps a stream cheap.
        """
        if self.size.height:
            self._move(self._end_top(growing=growing) if self.follow else self._settled_top())

    def note_news(self) -> None:
        """Take note that something new stands below what the reader sees."""
        if not self.follow and not self._unseen:
            self._unseen = True
            self.refresh_line(self.scroll_offset.y + self.size.height - 1)

    def _end_top(self, *, growing: bool) -> int:
        """Draw the last rows and return the first row of a view at the end."""
        height, layout = self.size.height, self._layout
        for _ in range(_SETTLE_ROUNDS):
            if not layout.measure(layout.height - 2 * height, layout.height):
                break
        end = max(0, layout.height - height)
        if not growing or not end:
            return end
        ahead = height // 2 if self.page_scroll else height // 10
        top = self.scroll_offset.y
        return top if end <= top <= end + ahead else end + ahead

    def _settled_top(self) -> int:
        """Draw around the reader's place and return the first row of the view that keeps it."""
        height, layout, bookmark = self.size.height, self._layout, self._bookmark
        if bookmark is None or bookmark.key not in layout:
            return self.scroll_offset.y
        top = layout.row_of(bookmark)
        for _ in range(_SETTLE_ROUNDS):
            if not layout.measure(top - height, top + 2 * height):
                break
            top = layout.row_of(bookmark)
        return top

    def _move(self, top: int) -> None:
        """Put row `top` at the top of the view and paint what differs."""
        layout, height = self._layout, self.size.height
        size = Size(self._width, max(layout.height, top + height if self.follow else 0))
        self._moving = True
        try:
            if size != self.virtual_size:
                self.virtual_size = size
            self.scroll_to(y=top)
        finally:
            self._moving = False
        layout.trim(top - height, top + 2 * height)
        top = self.scroll_offset.y
        self._bookmark = layout.bookmark(top)
        self._paint(layout.rows(top, height))

    def _paint(self, rows: list[Strip | None]) -> None:
        """Repaint the rows that differ from those on screen."""
        old = self._painted
        changed = [y for y, row in enumerate(rows) if y >= len(old) or old[y] != row]
        self._painted = rows
        if changed:
            self.refresh(*(Region(0, y, self._width, 1) for y in changed))

    def _restyle(self) -> None:
        """Draw with the present theme and width, where they differ from those in use."""
        styles, width = self._theme_styles(), self._width
        renderer = self._layout.renderer
        if width and (renderer.width != width or renderer.styles != styles):
            self._layout.use(BlockRenderer(styles, width))
        self.update_view()

    def _theme_styles(self) -> TranscriptStyles:
        names = [field.name for field in fields(TranscriptStyles) if field.name != "code_theme"]
        styles: dict[str, Style] = {
            name: self.get_component_rich_style(f"transcript--{name.replace('_', '-')}", partial=True)
            for name in names
        }
        fallback = "one-dark" if self.app.current_theme.dark else "xcode"
        return TranscriptStyles(
            **styles, code_theme=self.app.theme_variables.get(_CODE_STYLE_VARIABLE, fallback)
        )

    def _with_news(self, row: Strip) -> Strip:
        mark = Segment(NEW_BELOW, self.get_component_rich_style("transcript--new"))
        return Strip.join([row.crop(0, self._width - len(NEW_BELOW)), Strip([mark])])
