"""Text of model files as it can stand on a screen."""

from __future__ import annotations

import re

MAX_NAME = 120
_MEANINGLESS = re.compile(
    r"[0-9a-f]{32,64}|\W*|(models?|hf|tmp|output|out|merged|checkpoint|snapshot|gguf|llama)(-?\d+)?",
    re.IGNORECASE,
)


def printable(text: str, most: int = MAX_NAME) -> str:
    """Return one line without control characters, cut with a mark."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * most]).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def is_meaningless(name: str) -> bool:
    """Whether a name is one of those that converters leave behind: hashes, `model`, `output-2`."""
    return bool(_MEANINGLESS.fullmatch(name))
