"""Cuts a growing Markdown text into blocks that are closed for good and one that is still open.

A closed block never changes again, so it is rendered once and kept. The rule errs on the side of keeping a
block open: closing one too late costs a little time, closing one too early would draw it wrongly. Every
decision depends on the text alone, never on how it arrived in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_FENCE_OPEN = re.compile(r"(?P<lead>[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?P<mark>`{3,}|~{3,})(?P<info>.*)")
_BREAK = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_BREAK_IN_LIST = re.compile(r" {0,3}(?:>|([-*_])(?:[ \t]*\1){2,}[ \t]*$)")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_INTERRUPTS = re.compile(r"[ \t]*(?:[-*+]|1[.)])[ \t]+[^ \t]")
_LIST_ITEM_MAYBE = re.compile(r"(?:[-*+]|\d{1,9}[.)]?)")
_PIECE_LINES = 32
_BLANKS = " \t\n"

_HIDDEN = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200D, 0xFE0E, 0xFE0F, *range(0xE0000, 0xE0080))
_DISPLAY = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in {0x09, 0x0A, 0x0D}},
    0x0D: None,
    0x7F: "␡",
    **dict.fromkeys(range(0x80, 0xA0), "�"),
    0x2028: "\n",
    0x2029: "\n",
    **dict.fromkeys(range(0xD800, 0xE000), "�"),
    **dict.fromkeys(range(0x1F3FB, 0x1F400)),
    **dict.fromkeys(_HIDDEN),
}


def displayable(text: str) -> str:
    """Return `text` as it may reach a terminal, one character at a time.

    Control characters become visible signs. Carriage returns are left out, and so are marks that turn the
    reading direction and what terminals disagree about the width of: joiners and variants of emoji, so that
    a family is drawn as its members.
    """
    return text.translate(_DISPLAY)


class Piece(NamedTuple):
    """A part of the open block for display; `gap` asks for a blank row above it."""

    text: str
    gap: bool = True


class BlockSplitter:
    """Takes text as it arrives and gives back each block as soon as nothing can change it any more.

    A block ends at a blank line outside a fence when the next line can neither continue a list nor be
    indented code; before a heading or fence that stands outside of lists; and after such a fence.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._partial = ""
        self._fence = ""
        self._item_indent = 0
        self._after_blank = False

    @property
    def tail(self) -> str:
        """The text of the open block."""
        return "\n".join([*self._lines, self._partial])

    def feed(self, text: str) -> list[str]:
        """Add `text` and return the blocks that it closes, in order."""
        *complete, self._partial = (self._partial + text).split("\n")
        closed = [block for line in complete for block in self._take(line)]
        if self._after_blank and self._begins_block(self._partial, complete=False):
            closed.extend(self._close())
        return closed

    def open_pieces(self) -> list[Piece]:
        """Return the open block in pieces of which all but the last rarely change.

        A long fence or list is shown in pieces while it grows, so that a frame costs the same however long
        it is. Closing renders it as a whole.
        """
        lines = [*self._lines, self._partial] if self._partial else self._lines
        if len(lines) <= 2 * _PIECE_LINES:
            return [Piece("\n".join(lines))] if any(line.strip(_BLANKS) for line in lines) else []
        if self._fence and not self._item_indent:
            return list(_fence_pieces(lines))
        return list(_list_pieces(lines)) if self._item_indent else [Piece("\n".join(lines))]

    def _take(self, line: str) -> Iterator[str]:
        """Add a complete line; yield the block that ends before it or with it."""
        blank = not line.strip(_BLANKS)
        if self._fence and not blank and _indent(line) < self._item_indent:
            self._fence = ""
            if _LIST_ITEM.match(line) is None:
                yield from self._close()
        if self._fence:
            yield from self._take_code(line)
        elif blank:
            self._after_blank = bool(self._lines)
            if self._lines:
                self._lines.append("")
        else:
            yield from self._take_text(line)

    def _take_code(self, line: str) -> Iterator[str]:
        self._lines.append(line)
        if _closes_fence(line, self._fence):
            self._fence = ""
            if not self._item_indent:
                yield from self._close()

    def _take_text(self, line: str) -> Iterator[str]:
        indent, fence = _indent(line), _opening_fence(line)
        item = _LIST_ITEM.match(line) if self._may_begin_item(line) else None
        outside = item is None and indent < min(4, self._item_indent or 4)
        breaks = bool(fence) or _BREAK.match(line) or (self._item_indent and _BREAK_IN_LIST.match(line))
        if self._lines and (
            (outside and breaks) or (self._after_blank and self._begins_block(line, complete=True))
        ):
            yield from self._close()
        self._lines.append(line)
        self._after_blank = False
        if item is not None and indent < (self._item_indent or 4):
            self._item_indent = _content_indent(item)
        if self._item_indent or indent < 4:
            self._fence = fence

    def _may_begin_item(self, line: str) -> bool:
        """Whether a list item can stand here: a paragraph gives way to bullets and to number 1 alone."""
        in_paragraph = bool(self._lines) and not (self._after_blank or self._item_indent)
        return not in_paragraph or bool(_BREAK.match(self._lines[-1])) or bool(_INTERRUPTS.match(line))

    def _begins_block(self, line: str, *, complete: bool) -> bool:
        """Whether a line after a blank one starts a new block; an incomplete line may not tell yet."""
        if not line or line[0] in " \t":
            return False
        if not self._item_indent:
            return True
        if not complete and _LIST_ITEM_MAYBE.fullmatch(line):
            return False
        return _LIST_ITEM.match(line) is None

    def _close(self) -> Iterator[str]:
        block = "\n".join(self._lines).rstrip("\n")
        self._lines = []
        self._item_indent = 0
        self._after_blank = False
        if block.strip(_BLANKS):
            yield block


def split_blocks(text: str) -> list[str]:
    """Return all blocks of a complete text, the last one included."""
    splitter = BlockSplitter()
    blocks = splitter.feed(text)
    tail = splitter.tail.rstrip("\n")
    return [*blocks, tail] if tail.strip(_BLANKS) else blocks


def code_blocks(text: str) -> list[str]:
    """Return what stands inside the fences of `text`, in order; an open fence counts up to the end."""
    blocks: list[str] = []
    fence, lead = "", ""
    lines: list[str] = []
    for line in text.split("\n"):
        if not fence:
            fence = _opening_fence(line)
            lead, lines = line[: len(line) - len(line.lstrip())], []
        elif _closes_fence(line, fence):
            blocks.append("\n".join(lines))
            fence = ""
        else:
            lines.append(line.removeprefix(lead))
    return [*blocks, "\n".join(lines)] if fence else blocks


def _opening_fence(line: str) -> str:
    """Return the mark of a fence that `line` opens, or an empty text."""
    match = _FENCE_OPEN.match(line)
    if match is None or (match["mark"][0] == "`" and "`" in match["info"]):
        return ""
    return match["mark"]


def _indent(line: str) -> int:
    """Return the columns of white space at the start, tabs counted as they move."""
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip(" "))


def _content_indent(item: re.Match[str]) -> int:
    """Return the column that lines must reach to belong to a list item."""
    marker = item[0].rstrip(_BLANKS).expandtabs(4)
    text = item.string.expandtabs(4)[len(marker) :]
    spaces = len(text) - len(text.lstrip(" "))
    return len(marker) + (spaces if 1 <= spaces <= 4 and text.strip(_BLANKS) else 1)


def _closes_fence(line: str, fence: str) -> bool:
    stripped = line.strip(_BLANKS)
    return len(stripped) >= len(fence) and not stripped.strip(fence[0])


def _fence_pieces(lines: list[str]) -> Iterator[Piece]:
    """Yield an open fence as several short ones that are drawn without a gap."""
    first, code = lines[0], lines[1:]
    mark = _opening_fence(first)
    if not mark or not first.startswith(mark):
        yield Piece("\n".join(lines))
        return
    for start in range(0, len(code), _PIECE_LINES):
        body = code[start : start + _PIECE_LINES]
        yield Piece("\n".join([first, *body, mark]), gap=start == 0)


def _list_pieces(lines: list[str]) -> Iterator[Piece]:
    """Yield a long open list cut before items of the first level, outside of fences."""
    piece: list[str] = []
    fence, gap = "", True
    for line in lines:
        if fence:
            fence = "" if _closes_fence(line, fence) else fence
        else:
            if len(piece) >= _PIECE_LINES and line[:1].strip(_BLANKS) and _LIST_ITEM.match(line):
                yield Piece("\n".join(piece), gap)
                piece, gap = [], False
            fence = _opening_fence(line)
        piece.append(line)
    yield Piece("\n".join(piece), gap)
