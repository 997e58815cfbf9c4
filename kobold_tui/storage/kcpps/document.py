"""Reads a `.kcpps` or `.kcppt` file: one JSON object, taken for hostile.

Size, depth and text are bounded here, so that what comes after works on plain values. KoboldCpp writes with
Python's `json`, so NaN and Infinity are let through; whoever needs a number checks it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.toml_file import read_content

MAX_BYTES = 8 * 1024 * 1024
MAX_KEYS = 2000
SUFFIXES = (".kcpps", ".kcppt")
Values = dict[str, Any]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The object of a file; `repeated` names keys that stand there more than once, the last one counts."""

    values: Values
    repeated: tuple[str, ...] = ()
    revision: str = ""


def read_document(path: Path) -> Document:
    """Return the object in a file. Raises KoboldError, which names the file and the place."""
    return parse_document(read_content(path, MAX_BYTES), path)


def parse_document(content: bytes, path: Path) -> Document:
    """Return the object in the content of a file. Raises KoboldError, which names the file and the place."""
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> Values:
        values = dict(pairs)
        if len(values) < len(pairs):
            repeated.extend((Counter(name for name, _ in pairs) - Counter(values.keys())).keys())
        return values

    try:
        values = _clean(json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique))
    except (ValueError, RecursionError) as error:
        raise _not_json(path, error) from None
    if not isinstance(values, dict):
        raise KoboldError(
            "Not KoboldCpp's file",
            f"{path} holds {_named(values)} and no object with settings.",
            "Export it again: koboldcpp --exportconfig FILE.",
        )
    if len(values) > MAX_KEYS:
        raise KoboldError(
            "Not KoboldCpp's file",
            f"{path} has {len(values)} keys; KoboldCpp writes about 200.",
            "Export it again: koboldcpp --exportconfig FILE.",
        )
    once = tuple(name for name in dict.fromkeys(repeated) if name in values)[:MAX_KEYS]
    return Document(values=values, repeated=once, revision=revision_of(content))


def revision_of(content: bytes) -> str:
    """Return what stands for the content of a file."""
    return hashlib.sha256(content).hexdigest()


def _clean(value: Any) -> Any:
    """Return the value with halves of characters replaced, which no file of ours could hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value


def _not_json(path: Path, error: ValueError | RecursionError) -> KoboldError:
    hint = "Export it again: koboldcpp --exportconfig FILE."
    match error:
        case json.JSONDecodeError():
            reason = f"line {error.lineno}, column {error.colno}: {error.msg}"
        case UnicodeDecodeError():
            reason = f"byte {error.start} is not UTF-8 text"
        case RecursionError():
            reason = "values are nested too deeply"
        case _:
            reason = "a number is too long"
    return KoboldError("Not valid JSON", f"{path}: {reason}.", hint)


def _named(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(
        type(value), "a number"
    )
