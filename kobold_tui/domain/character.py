"""A character, as cards of the Tavern family describe one (specifications V1, V2 and V3)."""

from __future__ import annotations

import re

import msgspec

from kobold_tui.domain.world_info import WorldInfo

_NAMES = re.compile(r"\{\{(char|user)\}\}|<(bot|user)>", re.IGNORECASE)


class Character(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who answers; texts may hold `{{char}}` and `{{user}}`, see `with_names`.

    `greetings` are first messages to choose from. `post_history` is an instruction that follows the
    conversation in the prompt. `creator_notes` are for people and never reach a model.
    """

    name: str
    nickname: str = ""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    greetings: tuple[str, ...] = ()
    examples: str = ""
    system_prompt: str = ""
    post_history: str = ""
    creator: str = ""
    creator_notes: str = ""
    version: str = ""
    tags: tuple[str, ...] = ()
    lorebook: WorldInfo = WorldInfo()

    @property
    def spoken_name(self) -> str:
        """The name that `{{char}}` stands for."""
        return self.nickname or self.name


def with_names(text: str, character: str, user: str) -> str:
    """Return the text with the names in place of `{{char}}`, `{{user}}`, `<BOT>` and `<USER>`."""

    def name(match: re.Match[str]) -> str:
        return user if (match[1] or match[2]).lower() == "user" else character

    return _NAMES.sub(name, text)
