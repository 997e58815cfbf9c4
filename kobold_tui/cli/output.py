"""What commands print: data on standard output, narration on standard error.

Text that comes from model files and models is untrusted: on a terminal its control characters are shown,
never obeyed.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO

import msgspec

ELLIPSIS = "…"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
_GAP = "  "


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table; the `flexible` ones are cut when the screen is too narrow, `keep` says where."""

    title: str
    align: Literal["left", "right"] = "left"
    flexible: bool = False
    keep: Literal["start", "end"] = "start"


def printable(text: str) -> str:
    """Return `text` with control characters as U+FFFD; newline and tab stay."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return `text` fit for a cell or a status line."""
    return printable(text.replace("\n", " ").replace("\t", " "))


def below_home(text: str) -> str:
    """Return `text` with paths in the home folder as people write them."""
    home = str(Path.home())
    return text if home == "/" else re.sub(rf"(?<![\w./~-]){re.escape(home)}(?=/)", "~", text)


def cell_width(text: str) -> int:
    """Return the columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def cut(text: str, width: int, keep: Literal["start", "end"] = "start") -> str:
    """Return `text` in at most `width` columns; a mark stands for what is missing."""
    if cell_width(text) <= width:
        return text
    if width <= 0:
        return ""
    kept, used = [], 1
    for character in text if keep == "start" else reversed(text):
        used += _character_width(character)
        if used > width:
            break
        kept.append(character)
    return "".join([*kept, ELLIPSIS] if keep == "start" else [ELLIPSIS, *reversed(kept)])


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return aligned lines, the titles first; None for `width` cuts nothing."""
    cells = [[column.title for column in columns], *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(cell_width(row[i]) for row in cells) for i in range(len(columns))]
    if width is not None:
        widths = _fitted(columns, widths, width)
    return [
        _GAP.join(
            _padded(column, cell, w) for column, cell, w in zip(columns, row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def screen_width() -> int | None:
    """Return the columns of the terminal that standard output goes to, None for a pipe or file."""
    import shutil  # slow to import; most commands print JSON or little

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_json(document: object) -> None:
    """Print one JSON document on one line; on a terminal it is indented.

    JSON is UTF-8, names of files need not be: U+FFFD stands for each byte that cannot be told.
    """
    try:
        encoded = msgspec.json.encode(document)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_utf8(msgspec.to_builtins(document)))
    if sys.stdout.isatty():
        encoded = msgspec.json.format(encoded, indent=2)
    print(encoded.decode(), flush=True)


def narrate(text: str, *, quiet: bool = False) -> None:
    """Tell something that is not data; `quiet` is dimmed on a terminal."""
    print(dim(text) if quiet else printable(text), file=sys.stderr, flush=True)


class StatusLine:
    """One line on standard error that is overwritten and leaves no trace; silent where none can be drawn."""

    def __init__(self) -> None:
        self._is_shown = False

    def show(self, text: str) -> None:
        """Replace the line."""
        if can_draw(sys.stderr):
            self._is_shown = True
            width = (screen_width() or 80) - 1
            sys.stderr.write(f"\r\x1b[K{cut(one_line(text), width)}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Erase the line."""
        if self._is_shown:
            self._is_shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def dim(text: str) -> str:
    """Return `text` as quiet narration where standard error is a terminal."""
    return f"\x1b[2m{printable(text)}\x1b[0m" if has_colours(sys.stderr) else printable(text)


def can_draw(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that moves its cursor on command; TERM=dumb is one that does not."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_colours(stream: TextIO) -> bool:
    """Whether text may be styled there; NO_COLOR asks for plain text (no-color.org)."""
    return can_draw(stream) and not os.environ.get("NO_COLOR")


def _utf8(value: object) -> object:
    match value:
        case str():
            return _NOT_UTF8.sub("\ufffd", value)
        case dict():
            return {key: _utf8(item) for key, item in value.items()}
        case list() | tuple():
            return [_utf8(item) for item in value]
    return value


def _character_width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _fitted(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    """Take the columns that are too many from the widest flexible column, again and again."""
    fitted = list(widths)
    excess = sum(fitted) + len(_GAP) * (len(fitted) - 1) - width
    flexible = [i for i, column in enumerate(columns) if column.flexible]
    for _ in range(max(excess, 0)):
        widest = max(flexible, key=lambda i: fitted[i], default=None)
        if widest is None or fitted[widest] <= cell_width(columns[widest].title):
            break
        fitted[widest] -= 1
    return fitted


def _padded(column: Column, cell: str, width: int) -> str:
    shown = cut(cell, width, column.keep)
    blank = " " * (width - cell_width(shown))
    return blank + shown if column.align == "right" else shown + blank
