"""Tensors that an option places by name: `regex=BUFFER` pairs, the first match wins.

llama.cpp reads the patterns as ECMAScript's; what Python reads differently does not occur in tensors' names.
A pattern comes from a file and must not take long, so only a few repetitions are allowed in one.
"""

from __future__ import annotations

import functools
import re

_MAX_PATTERN = 256
_MAX_REPETITIONS = 3
_MAX_NAME = 64  # GGML_MAX_NAME in ggml.h
_REPETITION = re.compile(r"(?<!\\)[*+{]")
_REPEATED_GROUP = re.compile(r"\)\s*[*+{]")


def parse(text: str) -> tuple[str, str] | None:
    """Return pattern and buffer of a pair, None for what is none."""
    pattern, _, buffer = text.rpartition("=")
    return (pattern, buffer) if pattern and buffer else None


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """Return a pattern that is quick to search with, None for one that is wrong or may take long."""
    if len(pattern) > _MAX_PATTERN or _REPEATED_GROUP.search(pattern):
        return None
    if len(_REPETITION.findall(pattern)) > _MAX_REPETITIONS:
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def is_card_or_host(buffer: str, cards: tuple[str, ...]) -> bool:
    """Whether the predictor knows the memory behind a buffer's name."""
    return buffer in cards or _is_host(buffer)


def target_of(overrides: tuple[str, ...], cards: tuple[str, ...], name: str) -> str | None:
    """Return the card that a tensor is pinned to, "" for RAM, None where no override matches."""
    for text in overrides:
        pair = parse(text)
        if pair is None or not is_card_or_host(pair[1], cards):
            continue
        pattern = compiled(pair[0])
        if pattern is not None and pattern.search(name[:_MAX_NAME]):
            return "" if _is_host(pair[1]) else pair[1]
    return None


def notes_on(overrides: tuple[str, ...], cards: tuple[str, ...]) -> tuple[str, ...]:
    """Return a sentence for each override that the prediction leaves out."""
    notes = []
    for text in overrides:
        pair = parse(text)
        if pair is None or not is_card_or_host(pair[1], cards) or compiled(pair[0]) is None:
            notes.append(f"The override {text[:80]!r} is not part of the prediction; a dry run counts it.")
    return tuple(notes)


def _is_host(buffer: str) -> bool:
    return buffer == "CPU" or buffer.endswith("_Host")
