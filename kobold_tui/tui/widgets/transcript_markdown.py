"""How Markdown looks in the transcript: Rich's renderer with calmer parts.

Imported only when the first answer is drawn, because the parser and the highlighter take a tenth of a
second. Nothing that a model writes may vanish or act: HTML and link definitions are shown as text, addresses
stand beside their links, and no hyperlink reaches the terminal.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, HorizontalRule, Markdown, MarkdownElement, TableElement
from rich.segment import Segment
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import JustifyMethod

_CODE_STYLE_NAME: Final = "markdown.code_block"


class PlainHeading(Heading):
    """A heading at the left, told from text by weight and colour alone."""

    LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = dict.fromkeys(
        ("h1", "h2", "h3", "h4", "h5", "h6"), "left"
    )


class ShadedCode(CodeBlock):
    """A code block on its own background, one column in, wrapped rather than cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the highlighted lines."""
        shade = console.get_style(_CODE_STYLE_NAME).bgcolor
        yield Syntax(
            str(self.text).rstrip("\n"),
            self.lexer_name,
            theme=self.theme,
            word_wrap=True,
            padding=(0, 1),
            background_color=shade.get_truecolor().hex if shade and not shade.is_default else "default",
        )


class ThinRule(HorizontalRule):
    """A horizontal rule of one row."""

    new_line: ClassVar[bool] = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw a quiet line over the whole width."""
        yield Segment("─" * options.max_width, console.get_style("markdown.hr"))
        yield Segment.line()


class OpenTable(TableElement):
    """A table with a line under its head and none around it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw head and rows; cells wrap where the width is short."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, border_style="markdown.hr")
        if self.header is not None and self.header.row is not None:
            for cell in self.header.row.cells:
                heading = cell.content.copy()
                heading.stylize("markdown.table.header")
                table.add_column(heading, justify=cell.justify, overflow="fold")
        if self.body is not None:
            for row in self.body.rows:
                table.add_row(*(cell.content for cell in row.cells))
        yield table


class TranscriptMarkdown(Markdown):
    """One block of Markdown as the transcript shows it."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": PlainHeading,
        "fence": ShadedCode,
        "code_block": ShadedCode,
        "hr": ThinRule,
        "table_open": OpenTable,
    }

    def __init__(self, markup: str, code_theme: str) -> None:
        super().__init__("", code_theme=code_theme, hyperlinks=False)
        self.markup = markup
        self.parsed = parse(markup)


def parse(markup: str) -> list[Token]:
    """Return the tokens of `markup`; images are texts that say where the image is."""
    tokens = _parser().parse(markup)
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                _describe_image(child)
    return tokens


def plain_text(text: str, style: str) -> Text:
    """Return text that is shown as it is written, wrapped at the edge and nowhere cut."""
    return Text(text, style=style, overflow="fold", tab_size=4)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable(["strikethrough", "table"])
    return parser.disable(["reference", "html_block", "html_inline"])


def _describe_image(token: Token) -> None:
    source = str(token.attrs.get("src", ""))
    alt = token.content.strip()
    token.type, token.tag, token.children = "text", "", None
    token.content = f"[image: {alt}] ({source})" if alt else f"[image] ({source})"
