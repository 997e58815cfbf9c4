"""One message of the transcript as sections, each drawn when it comes into view and not before.

Until then the height of a section is an estimate. A section keeps its rows as long as its text stays the
same, so a growing answer redraws its open block alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from textual.strip import Strip

from kobold_tui.domain.chat import MessageStatus
from kobold_tui.domain.generation import Role
from kobold_tui.tui.widgets.transcript_blocks import BlockSplitter, Piece, displayable

INTERRUPTED = "■ interrupted"

_LINES_A_SECTION = 60
_LABELS: dict[Role, str] = {"system": "System", "assistant": "Assistant", "tool": "Tool"}

SectionKind = Literal["head", "thought", "reasoning", "plain", "markdown", "foot"]


@dataclass(frozen=True)
class TranscriptItem:
    """A message as the transcript shows it; `key` stays the same while the message changes.

    `label` names the speaker, such as the model, in place of the role's word; `footer` is a quiet last line,
    such as `42.7 tok/s · 310 tokens · 0.4 s to first`.
    """

    key: int
    role: Role
    text: str = ""
    reasoning: str = ""
    status: MessageStatus = "complete"
    footer: str = ""
    label: str = ""

    @property
    def is_markdown(self) -> bool:
        """Whether the text is formatted; what people type is shown as they typed it."""
        return self.role in {"assistant", "tool"}

    @property
    def has_reasoning(self) -> bool:
        """Whether there is any thinking to show."""
        return bool(self.reasoning) and not self.reasoning.isspace()


class Section:
    """Rows that are drawn together; `height` in rows is an estimate while `rows` was never set."""

    __slots__ = ("gap", "height", "kind", "rows", "text")

    def __init__(self, kind: SectionKind, text: str, *, gap: bool, width: int) -> None:
        self.kind = kind
        self.text = text
        self.gap = gap
        self.estimate(width)

    def estimate(self, width: int) -> None:
        """Forget the rows and guess the height for a width in columns."""
        self.rows: list[Strip] | None = None
        self.height = self.gap + estimate_rows(self.text, width)

    def draw(self, rows: list[Strip]) -> None:
        """Take the rows that the section has at the present width."""
        self.rows = rows
        self.height = len(rows)


class Place(NamedTuple):
    """A row of an item in terms of its section; `height` is what the section had at that time.

    `section` is -1 while the item is not divided: row and height are then those of the whole item.
    """

    section: int
    row: int
    height: int

    def row_within(self, height: int) -> int:
        """Return the row if the section has `height` rows now: the same, or in proportion."""
        if height == self.height or self.height < 2:
            return min(self.row, max(0, height - 1))
        return round(self.row * (height - 1) / (self.height - 1))


class ItemView:
    """The sections of one item at one width; the text is divided when the item first comes into view."""

    def __init__(self, item: TranscriptItem, width: int) -> None:
        self.item = item
        self.unfolded = False
        self.marked = False
        self.height = 0
        self._width = width
        self._splitter = BlockSplitter()
        self._head: list[Section] = []
        self._closed: list[Section] = []
        self._open: list[Section] = []
        self._sections: list[Section] | None = None
        self.estimate(width)

    @property
    def sections(self) -> list[Section]:
        """The sections from top to bottom."""
        if self._sections is None:
            self._divide()
        return self._sections or []

    def estimate(self, width: int) -> None:
        """Forget all rows and guess the heights for a new width."""
        self._width = width
        if self._sections is None:
            self.height = estimate_rows(self.item.text, width) + 3
            return
        for section in self._sections:
            section.estimate(width)
        self.add_up()

    def add_up(self) -> None:
        """Take over the heights of the sections."""
        self.height = sum([section.height for section in self.sections])

    def release(self) -> None:
        """Forget the rows but keep their heights."""
        for section in self._sections or ():
            section.rows = None

    def place(self, row: int) -> Place:
        """Return where a row is, in terms that survive a change of heights."""
        if self._sections is None:
            return Place(-1, row, self.height)
        for number, section in enumerate(self._sections):
            if row < section.height:
                return Place(number, row, section.height)
            row -= section.height
        return Place(len(self._sections) - 1, 0, 1)

    def row_of(self, place: Place) -> int:
        """Return the row at which `place` is now."""
        if place.section < 0 or not self._sections:
            return place.row_within(self.height)
        number = min(place.section, len(self._sections) - 1)
        above = sum(section.height for section in self._sections[:number])
        return above + place.row_within(self._sections[number].height)

    def fold(self, *, unfolded: bool) -> None:
        """Show or hide the reasoning."""
        self.unfolded = unfolded
        if self._sections is not None:
            self._compose()

    def add(self, text: str, reasoning: str) -> None:
        """Append to the text and to the reasoning of a growing message."""
        item = self.item
        self.item = replace(item, text=item.text + text, reasoning=item.reasoning + reasoning)
        if self._sections is None:
            self._divide()
        else:
            self._take(text)
            self._compose()

    def set(self, item: TranscriptItem) -> None:
        """Show another state of the message; sections with the same text keep their rows."""
        self.item = item
        if self._sections is None:
            self.estimate(self._width)
        else:
            self._divide()

    def _divide(self) -> None:
        """Divide the whole text again, using sections that are known."""
        self._splitter = BlockSplitter()
        self._closed, self._open = [], [*self._closed, *self._open]
        self._take(self.item.text)
        self._compose()

    def _take(self, text: str) -> None:
        """Divide more text; what is known from the open part is used again."""
        known = self._open
        if not self.item.is_markdown:
            self._open = self._reuse("plain", _plain_pieces(displayable(self.item.text)), known)
            return
        for block in self._splitter.feed(displayable(text)):
            self._closed += self._reuse("markdown", [self._piece(block)], known)
        pieces = self._open_pieces()
        first = [self._piece(piece.text) for piece in pieces[:1]]
        self._open = self._reuse("markdown", [*first, *pieces[1:]], known)

    def _open_pieces(self) -> list[Piece]:
        if self.item.status == "streaming":
            return self._splitter.open_pieces()
        tail = self._splitter.tail.rstrip()
        return [Piece(tail)] if tail else []

    def _piece(self, text: str) -> Piece:
        """Return a block with a blank row above it, unless it comes first."""
        return Piece(text, gap=bool(self._closed) or self.item.has_reasoning)

    def _reuse(self, kind: SectionKind, pieces: Iterable[Piece], known: list[Section]) -> list[Section]:
        """Return the sections of `pieces`, those of `known` where kind and text are the same."""
        by_content = {(section.kind, section.text, section.gap): section for section in known}
        return [
            by_content.get((kind, piece.text, piece.gap))
            or Section(kind, piece.text, gap=piece.gap, width=self._width)
            for piece in pieces
        ]

    def _compose(self) -> None:
        """Put the sections together again."""
        item, known = self.item, self._sections or []
        head = self._reuse("head", [Piece(label_of(item), gap=True)], known)
        if item.has_reasoning:
            head += self._reuse(
                "thought", [Piece(thought_of(item, unfolded=self.unfolded), gap=False)], known
            )
        if self.unfolded and item.has_reasoning:
            head += self._reuse("reasoning", _plain_pieces(displayable(item.reasoning.strip("\n"))), known)
        foot = foot_of(item)
        feet = self._reuse("foot", [Piece(foot, gap=True)], known) if foot else []
        self._sections = [*head, *self._closed, *self._open, *feet]
        self.add_up()


def label_of(item: TranscriptItem) -> str:
    """Return who speaks; a person's own messages are told by their bar alone."""
    return displayable(item.label) or _LABELS.get(item.role, "")


def thought_of(item: TranscriptItem, *, unfolded: bool) -> str:
    """Return the line that stands for the reasoning."""
    verb = "thinking …" if item.status == "streaming" and not item.text else "thought for"
    return f"{'▾' if unfolded else '▸'} {verb} {len(item.reasoning.split()):,} words"


def foot_of(item: TranscriptItem) -> str:
    """Return the last line: how the answer goes or ended, empty where there is nothing to say."""
    footer = displayable(item.footer).replace("\n", " ")
    if item.status == "streaming":
        return (
            f"● {footer or ('writing …' if item.text or item.reasoning else 'waiting for the first words …')}"
        )
    if item.status == "interrupted":
        return f"{INTERRUPTED} · {footer or 'the text above is what had arrived'}"
    return footer


def estimate_rows(text: str, width: int) -> int:
    """Guess how many rows a text takes at a width in columns, at the cost of counting line ends."""
    return text.count("\n") + len(text) // max(1, width) + 1 if text else 0


def _plain_pieces(text: str) -> Iterator[Piece]:
    """Yield text that keeps its lines in sections of a bounded number of lines."""
    lines = text.split("\n")
    for start in range(0, len(lines), _LINES_A_SECTION):
        yield Piece("\n".join(lines[start : start + _LINES_A_SECTION]), gap=False)
