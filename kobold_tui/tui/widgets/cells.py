"""Lines of coloured text in terminal columns, as values: built by pure functions, compared, and cut.

A cell is a text and the name of its look; a line is cells one after the other. Looks are joined by `+`, the
later one on top of the earlier: `text+cursor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells

from kobold_tui.tui.widgets.fit_text import fit

Cell = tuple[str, str]
"""Text and the name of its look."""

Line = tuple[Cell, ...]


def width_of(cells: Iterable[Cell]) -> int:
    """Return how many columns the cells take."""
    return sum(cell_len(text) for text, _ in cells)


def fit_line(cells: Sequence[Cell], width: int, look: str = "text") -> Line:
    """Return the cells as a line of exactly `width` columns; what does not fit is cut with a mark."""
    kept: list[Cell] = []
    left = width
    for text, name in cells:
        taken = cell_len(text)
        if taken > left:
            return (*kept, (fit(text, left), name)) if left > 0 else _marked(kept)
        if text:
            kept.append((text, name))
        left -= taken
    return (*kept, (" " * left, look)) if left else tuple(kept)


def _marked(kept: list[Cell]) -> Line:
    """Return the cells with a mark in place of their end, because something after them was left out."""
    if not kept:
        return ()
    text, name = kept[-1]
    width = cell_len(text)
    return *kept[:-1], (fit(f"{text} ", width), name)


def two_ends(left: Sequence[Cell], right: Sequence[Cell], width: int, look: str = "text") -> Line:
    """Return a line with something at both ends; the left end is cut where both do not fit."""
    room = max(0, width - width_of(right))
    return fit_line((*fit_line(left, room, look), *right), width, look)


def restyled(line: Line, look: str) -> Line:
    """Return the line in one look."""
    return tuple((text, look) for text, _ in line)


def on_top(line: Line, look: str) -> Line:
    """Return the line with a look on top of its own ones."""
    return tuple((text, f"{name}+{look}") for text, name in line)


def split_line(line: Line, widths: Sequence[int]) -> list[Line]:
    """Cut a line into pieces of these widths; a wide character that would be cut moves to the right."""
    pieces: list[Line] = []
    rest = list(line)
    for width in widths:
        piece: list[Cell] = []
        left = width
        while rest and left > 0:
            text, name = rest.pop(0)
            head, tail = _cut(text, left)
            if tail:
                rest.insert(0, (tail, name))
            if not head:
                break
            piece.append((head, name))
            left -= cell_len(head)
        if left:
            piece.append((" " * left, rest[0][1] if rest else line[-1][1] if line else "text"))
        pieces.append(tuple(piece))
    return pieces


def _cut(text: str, width: int) -> tuple[str, str]:
    if text.isascii() or cell_len(text) == len(text):
        return text[:width], text[width:]
    head = chop_cells(text, width)[0] if cell_len(text[0]) <= width else ""
    return head, text[len(head) :]


def end_of_change(old: Line, new: Line) -> int:
    """Return the column after the last one that differs, 0 where none does; both lines are equally wide."""
    before, after = list(old), list(new)
    end = width_of(new)
    while before and after:
        if before[-1] == after[-1]:
            end -= cell_len(after[-1][0])
            before.pop()
            after.pop()
            continue
        (one, one_look), (other, other_look) = before[-1], after[-1]
        same = _common_end(one, other) if one_look == other_look else 0
        if not same:
            return end
        end -= cell_len(other[len(other) - same :])
        before[-1], after[-1] = (one[: len(one) - same], one_look), (other[: len(other) - same], other_look)
        if not before[-1][0]:
            before.pop()
        if not after[-1][0]:
            after.pop()
    return end


def _common_end(one: str, other: str) -> int:
    """Return how many characters at the end are the same."""
    count = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        count += 1
    return count
