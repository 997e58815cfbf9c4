"""The text of a preset file: whether a person has written comments, and one value changed in place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from kobold_tui.storage.toml_file import Table

_STRINGS = (
    r'"""(?:\\.|[^\\])*?"{3,5}',
    r"'''.*?'{3,5}",
    r'"(?:\\.|[^"\\\n])*"',
    r"'[^'\n]*'",
)
_STRING_OR_COMMENT = re.compile(f"{'|'.join(_STRINGS)}|(?P<comment>#)", re.DOTALL)
_FIRST_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)
_NAME_LINE = re.compile(r"""^([ \t]*name[ \t]*=[ \t]*)("(?:\\.|[^"\\\n])*"|'[^'\n]*')""", re.MULTILINE)


def has_comments(text: str) -> bool:
    """Whether a valid TOML text holds a comment; a number sign in a string is none."""
    return any(match["comment"] for match in _STRING_OR_COMMENT.finditer(text))


def renamed(text: str, name: str) -> str | None:
    """Return the text with another top-level `name` and all else as it was; None where that fails."""
    first_table = _FIRST_TABLE.search(text)
    end = first_table.start() if first_table else len(text)
    head, tail = text[:end], text[end:]
    changed = _NAME_LINE.sub(lambda line: f"{line[1]}{_quoted(name)}", head, count=1) + tail
    try:
        wanted = {**tomllib.loads(text), "name": name}
        return changed if tomllib.loads(changed) == wanted else None
    except (ValueError, RecursionError):
        return None


def restated(old: Mapping[str, Any], new: Mapping[str, Any], base: Mapping[str, Any]) -> Table:
    """Return the table to write: keys in the order of `old`, then those of `new` that `base` has not.

    What `old` states stays stated, even where it is now a default.
    """
    table: Table = {}
    for key in (*(key for key in old if key in new), *(key for key in new if key not in old)):
        value = new[key]
        if isinstance(value, dict):
            before, below = old.get(key), base.get(key)
            inner = restated(
                before if isinstance(before, dict) else {}, value, below if isinstance(below, dict) else {}
            )
            if inner or key in old:
                table[key] = inner
        elif key in old or key not in base or base[key] != value:
            table[key] = value
    return table


def _quoted(text: str) -> str:
    import tomli_w

    return tomli_w.dumps({"a": text}).partition("= ")[2].strip()
