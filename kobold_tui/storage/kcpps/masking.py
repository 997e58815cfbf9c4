"""Values as a report may show them: short, finite, and without anything that is to stay secret."""

from __future__ import annotations

import math
import re
from typing import Any

from kobold_tui.domain.preset_check import looks_like_key
from kobold_tui.domain.preset_report import MASK

_SECRET_NAME = re.compile(
    r"(?i:passw|secret|credential|bearer|api_?-?key|authorization|hordekey|(?:^|[_-])(?:key|token|auth)$)"
    r"|[a-z](?:Key|Token)$"
)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@]*@")
_QUERY_OF_URL = re.compile(r"(://[^\s?]*)\?(?!download=true\b)\S+")
_WORD = re.compile(r"[A-Za-z0-9_\-.]{16,}")
_LONGEST_TEXT = 100
_MOST_ITEMS = 12
_DEEPEST = 3


def is_secret_name(key: str) -> bool:
    """Whether a key that nobody knows is named like one that holds a secret."""
    return _SECRET_NAME.search(key) is not None


def shown(value: Any, depth: int = 0) -> Any:
    """Return `value` as a report shows it; what cannot be written as JSON becomes text."""
    match value:
        case None | bool():
            short: Any = value
        case str():
            short = _short(without_secrets(value))
        case int() if abs(value) < 2**63:
            short = value
        case float() if math.isfinite(value):
            short = value
        case list() | dict() if depth >= _DEEPEST:
            short = "…"
        case list():
            more = ["…"] if len(value) > _MOST_ITEMS else []
            short = [shown(item, depth + 1) for item in value[:_MOST_ITEMS]] + more
        case dict():
            short = _shown_table(value, depth)
        case _:
            short = _short(str(value))
    return short


def without_secrets(text: str) -> str:
    """Return a text without users, passwords and queries of addresses, and without what looks like a key."""
    text = _QUERY_OF_URL.sub(rf"\1?{MASK}", _USER_IN_URL.sub(f"{MASK}@", text[: 10 * _LONGEST_TEXT]))
    return _WORD.sub(lambda word: MASK if looks_like_key(word[0]) else word[0], text)


def _shown_table(value: dict[str, Any], depth: int) -> dict[str, Any]:
    short = {
        _short(key): MASK if item and is_secret_name(key) else shown(item, depth + 1)
        for key, item in list(value.items())[:_MOST_ITEMS]
    }
    return {**short, "…": len(value) - _MOST_ITEMS} if len(value) > _MOST_ITEMS else short


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
