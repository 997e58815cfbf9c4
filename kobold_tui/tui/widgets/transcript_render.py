"""Turns one block of a message into rows of the screen, with the mark of its message at the left.

A renderer belongs to one width and one set of styles; rows that it has drawn stay right until either
changes. Text reaches it only through `displayable`, so nothing in it can act on the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.theme import Theme
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import ConsoleOptions

MAX_TEXT_WIDTH = 120
"""Columns of text at most: longer lines are hard to follow with the eye."""
GUTTER_WIDTH = 2
_MAX_MARKDOWN_LENGTH = 200_000
_NO_STYLE = Style()


@dataclass(frozen=True)
class TranscriptStyles:
    """What the theme says about a transcript; `code_theme` is the name of a Pygments style."""

    label: Style = _NO_STYLE
    reasoning: Style = _NO_STYLE
    quiet: Style = _NO_STYLE
    interrupted: Style = _NO_STYLE
    user_mark: Style = _NO_STYLE
    selected_mark: Style = _NO_STYLE
    heading: Style = _NO_STYLE
    code: Style = _NO_STYLE
    code_block: Style = _NO_STYLE
    link: Style = _NO_STYLE
    quote: Style = _NO_STYLE
    rule: Style = _NO_STYLE
    code_theme: str = "default"

    @property
    def rich_theme(self) -> Theme:
        """The styles under the names that Rich's Markdown looks up."""
        headings = {f"markdown.h{level}": self.heading + Style(bold=True) for level in range(1, 7)}
        return Theme(
            {
                **headings,
                "markdown.h1": self.heading + Style(bold=True, underline=True),
                "markdown.code": self.code,
                "markdown.code_block": self.code_block,
                "markdown.block_quote": self.quote,
                "markdown.link": self.link + Style(underline=True),
                "markdown.link_url": self.quiet,
                "markdown.item.bullet": self.quiet,
                "markdown.item.number": self.quiet,
                "markdown.hr": self.rule,
                "markdown.table.header": Style(bold=True),
                "markdown.table.border": self.rule,
                "markdown.s": Style(strike=True),
            }
        )


class BlockRenderer:
    """Draws blocks at one width, in columns of the screen, gutter included."""

    def __init__(self, styles: TranscriptStyles, width: int) -> None:
        self.styles = styles
        self.width = width
        self.text_width = max(1, min(width - GUTTER_WIDTH - 1, MAX_TEXT_WIDTH))

    def markdown(self, text: str, mark: Segment) -> list[Strip]:
        """Return the rows of a Markdown block; what cannot be parsed is shown as it is written."""
        if len(text) > _MAX_MARKDOWN_LENGTH:
            return self.plain(text, Style.null(), mark)
        from kobold_tui.tui.widgets.transcript_markdown import TranscriptMarkdown

        try:
            return self._rows(TranscriptMarkdown(text, self.styles.code_theme), mark)
        except Exception:  # noqa: BLE001 - a model's text must never stop the screen, whatever is in it
            return self.plain(text, Style.null(), mark)

    def plain(self, text: str, style: Style, mark: Segment) -> list[Strip]:
        """Return the rows of a text as it is written, wrapped at words."""
        rows: list[Strip] = []
        for line in text.split("\n"):
            expanded = line.expandtabs(4)
            if len(expanded) <= self.text_width and cell_len(expanded) <= self.text_width:
                rows.append(Strip([mark, Segment(expanded, style)]))
            else:
                rows.extend(self._wrapped(expanded, style, mark))
        return rows

    def line(self, parts: list[tuple[str, Style]], mark: Segment) -> list[Strip]:
        """Return one row of styled parts; what does not fit is cut with a sign."""
        from rich.text import Text

        text = Text.assemble(*parts, no_wrap=True, overflow="ellipsis", end="")
        return self._rows(text, mark)[:1]

    def _wrapped(self, line: str, style: Style, mark: Segment) -> list[Strip]:
        from rich.text import Text

        return self._rows(Text(line, style=style, overflow="fold"), mark)

    def _rows(self, renderable: RenderableType, mark: Segment) -> list[Strip]:
        lines = self._console.render_lines(renderable, self._options, pad=False)
        rows = [Strip([mark, *line]) for line in lines]
        while len(rows) > 1 and _is_empty(rows[-1]):
            rows.pop()
        first = next((number for number, row in enumerate(rows) if not _is_empty(row)), 0)
        return rows[first:]

    @cached_property
    def _console(self) -> Console:
        return Console(
            file=StringIO(),
            width=self.text_width,
            color_system="truecolor",
            force_terminal=True,
            no_color=False,
            legacy_windows=False,
            theme=self.styles.rich_theme,
            markup=False,
            emoji=False,
            highlight=False,
        )

    @cached_property
    def _options(self) -> ConsoleOptions:
        return self._console.options.update(width=self.text_width, height=None)


def _is_empty(row: Strip) -> bool:
    """Whether nothing is on the row, not even a background of its own."""
    shaded = any(segment.style is not None and segment.style.bgcolor is not None for segment in row)
    return not shaded and not row.text[GUTTER_WIDTH:].strip()


def preload() -> None:
    """Draw a block once, so that the first answer need not wait for the imports."""
    BlockRenderer(TranscriptStyles(), 80).markdown("```python\npass\n```", Segment("  "))
