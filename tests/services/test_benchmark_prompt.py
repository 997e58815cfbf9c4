"""Prompts of an exact length, whatever a vocabulary makes of their words."""

from __future__ import annotations

from kobold_tui.services.benchmark_prompt import PromptMaker


class Pairs:
    """A tokenizer that cannot tell a letter from its neighbour."""

    async def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[int, ...]:
        return tuple(ord(letter) // 2 for letter in text)


async def test_words_that_begin_with_one_token_do_not_both_begin_a_prompt() -> None:
    prompts = PromptMaker(Pairs(), 50)
    made = [await prompts.make() for _ in range(13)]
    assert len({ord(prompt[0]) // 2 for prompt in made}) == 13
    assert [len(prompt) for prompt in made] == [50] * 13
