"""Prompt lookup: guesses the next tokens from what followed the same few tokens before.

Text that repeats itself (code, lists, quotations) is guessed right for several tokens, which one decode then
verifies together (Saxena, "Prompt Lookup Decoding", 2023). A wrong guess costs time, never text, so after a
wrong one fewer tokens are guessed, after a right one more.
"""

from __future__ import annotations

_NGRAM_SIZES = (3, 2)


class PromptLookup:
    """An index of n-grams over the tokens of one answer; guesses at most `n_draft` tokens."""

    def __init__(self, n_draft: int) -> None:
        self._n_draft = n_draft
        self._width = n_draft
        self._followers: dict[tuple[int, ...], int] = {}
        self._n_indexed = 0

    def draft(self, tokens: list[int], limit: int) -> list[int]:
        """Return a guess of what follows `tokens`, at most `limit` of them; mostly nothing."""
        self._index(tokens)
        length = min(self._width, limit)
        if length <= 0:
            return []
        for size in _NGRAM_SIZES:
            follower = self._followers.get(tuple(tokens[-size:]))
            if follower is not None:
                return _copy(tokens, follower, length)
        return []

    def note_result(self, n_drafted: int, n_accepted: int) -> None:
        """Guess more after a guess that held, less after one that did not."""
        if n_accepted == n_drafted:
            self._width = min(self._n_draft, 2 * self._width)
        elif n_accepted == 0:
            self._width = max(1, self._width // 2)

    def forget(self) -> None:
        """Start again: the positions of the tokens have changed."""
        self._followers.clear()
        self._n_indexed = 0

    def _index(self, tokens: list[int]) -> None:
        """Note where each n-gram was last followed by another token."""
        for position in range(max(self._n_indexed, min(_NGRAM_SIZES)), len(tokens)):
            for size in _NGRAM_SIZES:
                if position >= size:
                    self._followers[tuple(tokens[position - size : position])] = position
        self._n_indexed = len(tokens)


def _copy(tokens: list[int], start: int, length: int) -> list[int]:
    """Return `length` tokens from `start` on; beyond the end what was copied goes round again."""
    period = len(tokens) - start
    return [tokens[start + offset % period] for offset in range(length)]
