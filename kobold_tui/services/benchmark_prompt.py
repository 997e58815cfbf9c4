"""Prompts of an exact number of tokens, no two of which begin alike.

A vocabulary decides how words are cut, so texts are counted by the model's own tokens and filled up with
small pieces until the count is right.
"""

from __future__ import annotations

import random
from typing import Protocol

WORDS: tuple[str, ...] = tuple(
    """
    apple bridge cloud dance earth forest garden house island journey kitchen letter mountain night ocean
    paper quiet river silver train under village winter xylophone yellow zebra answer bottle circle dinner
    engine flower ground hammer iron jacket kettle ladder market needle orange pencil queen rabbit shadow
    table uncle violin window year zero
    """.split()  # noqa: SIM905 - a list of fifty words is easier to read without quotes
)
FILLERS = (" a", ",", ".", " I", "\n", "1", "!", "x", " it", "?")


class Tokenizer(Protocol):
    """What counts tokens."""

    async def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[int, ...]:
        """Return token ids."""
        ...


class PromptMaker:
    """Makes prompts of `n_tokens` tokens; `offset` is what the model adds to each beyond its own count."""

    def __init__(self, tokenizer: Tokenizer, n_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._n_tokens = n_tokens
        self._begun: set[int] = set()
        self._next_word = 0
        self.offset = 0

    async def make(self) -> str:
        """Return a prompt that begins with another token than all before it.

        Where no text of exactly that length is found, it is a few tokens shorter.
        """
        first = await self._first_word()
        chooser = random.Random(first)  # noqa: S311 - the same words in every benchmark
        words = [first, *chooser.choices(WORDS, k=self._n_tokens)]
        text = await self._longest(words)
        return await self._filled(text)

    async def _first_word(self) -> str:
        """Return a word whose first token began no prompt yet, while there is one."""
        for _ in WORDS:
            word = WORDS[self._next_word % len(WORDS)]
            self._next_word += 1
            tokens = await self._tokenizer.tokenize(word)
            if tokens and tokens[0] not in self._begun:
                self._begun.add(tokens[0])
                break
        return word

    async def _longest(self, words: list[str]) -> str:
        """Return the longest text of words from the beginning that is not too long."""
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            if await self.count(" ".join(words[:middle])) <= self._n_tokens:
                low = middle
            else:
                high = middle - 1
        return " ".join(words[:low])

    async def _filled(self, text: str) -> str:
        count = await self.count(text)
        while count < self._n_tokens:
            for filler in FILLERS:
                if await self.count(text + filler) == count + 1:
                    text, count = text + filler, count + 1
                    break
            else:
                return text
        return text

    async def count(self, text: str) -> int:
        """Return the tokens of a prompt as the model will evaluate it."""
        tokens = await self._tokenizer.tokenize(text, add_special=True, parse_special=True)
        return len(tokens) + self.offset
