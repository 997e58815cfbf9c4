"""From the name of a preset to the name of its file: plain letters, bounded, and never a path."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from kobold_tui.domain.errors import UsageError

MAX_NAME = 200
MAX_FILE_NAME_BYTES = 120
_SIGNS = re.compile(r"[^\w.-]+")


def check_name(name: str) -> None:
    """Raise UsageError for a name that cannot be shown in a list or typed."""
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError(
            "Not a name",
            f"{name[:40]!r} cannot be the name of a preset.",
            f"Use 1 to {MAX_NAME} printable characters, without blanks at the ends.",
        )
    if name.lower().endswith((".toml", ".kcpps", ".kcppt")):
        raise UsageError("Not a name", f"{name!r} is the name of a file.", "Leave out what follows the dot.")


def slug(name: str) -> str:
    """Return the part of a file name that stands for `name`: small letters, digits, `-`, `_` and dots.

    Accents are written in one character, so that all file systems tell the same names apart.
    """
    plain = _SIGNS.sub("-", unicodedata.normalize("NFC", name).casefold()).strip("-.")
    while len(plain.encode()) > MAX_FILE_NAME_BYTES:
        plain = plain[:-1]
    return plain.strip("-.") or "preset"


def free_file_name(name: str, taken: Collection[str], suffix: str = ".toml") -> str:
    """Return a file name for the preset `name` that is not taken, whatever its capitals."""
    used = {unicodedata.normalize("NFC", file).casefold() for file in taken}
    stem = slug(name)
    number = 1
    candidate = f"{stem}{suffix}"
    while candidate in used:
        number += 1
        candidate = f"{stem}-{number}{suffix}"
    return candidate


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name for a copy of the preset `name`: `name copy`, `name copy 2` and so on."""
    used = {other.casefold() for other in taken}
    stem = re.sub(r" copy( \d+)?$", "", name)[:180]
    number = 1
    candidate = f"{stem} copy"
    while candidate.casefold() in used:
        number += 1
        candidate = f"{stem} copy {number}"
    return candidate
