"""Finds models by words: each word must be in the row, its letters at least close together and in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from kobold_tui.domain.model import ModelEntry, ModelFault

NO_MATCH = 1_000
"""A score that says that a word is not there; the least score is the best."""

MOST_LETTERS = 64
_FUZZY_FROM = 3


class SearchText(NamedTuple):
    """What is searched of a row: its name, everything in lower case, and the letters of the name."""

    name: str
    everything: str
    letters: str


def search_text(row: ModelEntry | ModelFault) -> SearchText:
    """Return what is searched of a row."""
    if isinstance(row, ModelFault):
        name = PurePath(row.path).name.casefold()
        return SearchText(name, f"{name} {row.path.casefold()}", _letters(name))
    name = row.name.casefold()
    facts = (row.quantization, row.kind, row.architecture, row.family, row.base_model, row.source, row.path)
    return SearchText(name, " ".join((name, *facts)).casefold(), _letters(name))


def split_words(text: str) -> tuple[str, ...]:
    """Return the words that a person has typed, of a length that costs nothing."""
    return tuple(word[:MOST_LETTERS] for word in text.casefold().split())


def score_of(text: SearchText, words: Sequence[str]) -> int:
    """Return how well all words are found, 0 is best; NO_MATCH where one is not."""
    total = 0
    for word in words:
        score = _score(text, word)
        if score == NO_MATCH:
            return NO_MATCH
        total += score
    return total


def _score(text: SearchText, word: str) -> int:
    at = text.name.find(word)
    if at >= 0:
        return 0 if at == 0 or not text.name[at - 1].isalnum() else 1
    if word in text.everything:
        return 2
    letters = _letters(word)
    if letters and letters in text.letters:
        return 1
    return 4 if len(letters) >= _FUZZY_FROM and _is_close(text.letters, letters) else NO_MATCH


def _is_close(text: str, letters: str) -> bool:
    """Whether all letters follow one another in a stretch of at most twice their number."""
    begin = text.find(letters[0])
    while begin >= 0:
        at = begin
        for letter in letters[1:]:
            at = text.find(letter, at + 1, begin + 2 * len(letters))
            if at < 0:
                break
        else:
            return True
        begin = text.find(letters[0], begin + 1)
    return False


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
