"""Untrusted JSON as plain values: bounded, and with typed ways to what stands where.

A value of a wrong type counts as not there, because programs differ in what they write; what a file must
have to be read at all is checked by its own reader.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Never

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.toml_file import read_content

MAX_BYTES = 32 * 1024 * 1024
MAX_MESSAGES = 100_000
Object = dict[str, Any]

_HINT = "Export it again from the program that wrote it."


def read_bytes(path: Path) -> bytes:
    """Return what a file holds. Raises KoboldError, also where it is larger than 32 MiB."""
    return read_content(path, MAX_BYTES)


def decode(content: bytes, path: Path) -> str:
    """Return the text of a file. Raises KoboldError where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise unreadable(path, f"line {line} is not UTF-8 text") from None


def parse(text: str, path: Path, line: int = 0) -> Any:
    """Return JSON as plain values. Raises KoboldError with the place; `line` is where the text stands."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        place = f"line {line or error.lineno}, column {error.colno}"
        raise unreadable(path, f"{place}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        reason = "values are nested too deeply" if isinstance(error, RecursionError) else "a number is wrong"
        raise unreadable(path, f"line {line}: {reason}" if line else reason) from None


def unreadable(path: Path, reason: str) -> KoboldError:
    """Return the error for a file that cannot be read as a conversation."""
    return KoboldError("Cannot import this file", f"{path}: {reason}.", _HINT)


def text(table: Object, *keys: str) -> str:
    """Return the first of these keys that holds a text; empty where none does."""
    for key in keys:
        if isinstance(value := table.get(key), str):
            return clean(value)
    return ""


def texts(table: Object, key: str) -> tuple[str, ...]:
    """Return the texts of a list; a text alone counts as a list divided by commas."""
    value = table.get(key)
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        return ()
    return tuple(clean(item.strip()) for item in items if isinstance(item, str) and item.strip())


def whole(table: Object, key: str, default: int, low: int = 0, high: int = 2**31) -> int:
    """Return a whole number within bounds, also one that is written as a text."""
    value = table.get(key)
    if isinstance(value, str):
        try:
            value = float(value[:32])
        except ValueError:
            return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    if isinstance(value, float) and not math.isfinite(value):
        return default
    return int(min(max(value, low), high))


def seconds(table: Object, key: str) -> float:
    """Return a moment in seconds since the epoch, from seconds, milliseconds or ISO 8601; else 0."""
    from datetime import UTC, datetime

    value = table.get(key)
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value[:40])
            return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            return 0.0
    number = float(whole(table, key, 0, 0, 10**14))
    return number / 1000 if number > 10**11 else number


def flag(table: Object, key: str, default: bool = False) -> bool:
    """Return a truth value."""
    value = table.get(key)
    return value if isinstance(value, bool) else default


def table(value: Object, key: str) -> Object:
    """Return an object below a key; an empty one where there is none."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def tables(value: Object, key: str, most: int = MAX_MESSAGES) -> list[Object]:
    """Return the objects of a list, or of an object's values, as some programs write lists."""
    found = value.get(key)
    items = list(found.values()) if isinstance(found, dict) else found
    return [item for item in items[:most] if isinstance(item, dict)] if isinstance(items, list) else []


def clean(value: str) -> str:
    """Return text with halves of surrogate pairs replaced, which no file of ours could hold."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def is_deeper_than(value: Any, levels: int) -> bool:
    """Whether lists and objects stand in one another on more levels than these."""
    inner = [value]
    for _ in range(levels):
        inner = [
            child
            for node in inner
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return bool(inner)


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)


def _whole_number(digits: str) -> int | float:
    """Return a whole number of at most 64 bits; a larger one as a fraction, as JavaScript reads it."""
    return int(digits) if len(digits) < 19 else _finite(digits)


def _finite(number: str) -> float:
    """Return a number that JSON can hold again; one beyond all bounds is refused."""
    value = float(number)
    if math.isinf(value):
        raise ValueError(number)
    return value
