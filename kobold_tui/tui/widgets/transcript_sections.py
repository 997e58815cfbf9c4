"""Draws the sections of a message: who speaks, the folded thinking, the text, how the answer ended."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from kobold_tui.tui.widgets.transcript_items import INTERRUPTED, ItemView, Section
from kobold_tui.tui.widgets.transcript_render import BlockRenderer, TranscriptStyles


def draw_section(renderer: BlockRenderer, view: ItemView, section: Section) -> list[Strip]:
    """Return the rows of one section of an item, the blank row above it included."""
    styles = renderer.styles
    mark = _mark(view, styles)
    match section.kind:
        case "head":
            label = renderer.line([(section.text, styles.label)], mark) if section.text else []
            return [Strip([]), *label]
        case "thought":
            rows = renderer.line([(section.text, styles.reasoning)], mark)
        case "reasoning":
            rows = renderer.plain(section.text, styles.reasoning, mark)
        case "plain":
            rows = renderer.plain(section.text, Style.null(), mark)
        case "markdown":
            rows = renderer.markdown(section.text, mark)
        case "foot":
            rows = renderer.line(_foot_parts(view, section.text, styles), mark)
    return [Strip([mark]), *rows] if section.gap else rows


def _mark(view: ItemView, styles: TranscriptStyles) -> Segment:
    """Return the two columns at the left that tell messages apart, also without colours."""
    if view.marked:
        return Segment("┃ ", styles.selected_mark)
    return Segment("▌ ", styles.user_mark) if view.item.role == "user" else Segment("  ")


def _foot_parts(view: ItemView, text: str, styles: TranscriptStyles) -> list[tuple[str, Style]]:
    match view.item.status:
        case "streaming":
            return [(text[:1], styles.selected_mark), (text[1:], styles.quiet)]
        case "interrupted":
            return [(INTERRUPTED, styles.interrupted), (text.removeprefix(INTERRUPTED), styles.quiet)]
        case "complete":
            return [(text, styles.quiet)]
