"""World info, also called a lorebook: texts that join the prompt when their keys are mentioned."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Insertion = Literal["after_memory", "before_note"]


class WorldInfoEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One text with its keys.

    It joins when a key is found; when `selective`, also one of `secondary_keys` and none of
    `excluding_keys` must be. `constant` entries always join. `probability` is in percent. Where entries
    compete, a smaller `order` comes first.
    """

    content: str = ""
    keys: tuple[str, ...] = ()
    secondary_keys: tuple[str, ...] = ()
    excluding_keys: tuple[str, ...] = ()
    comment: str = ""
    group: str = ""
    selective: bool = False
    constant: bool = False
    enabled: bool = True
    case_sensitive: bool = False
    probability: Annotated[int, Meta(ge=0, le=100, extra={"unit": "%"})] = 100
    order: int = 0


class WorldInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All entries of one conversation or character.

    Keys are looked for in the last `search_depth_characters` of the text, in all of it where that is 0.
    """

    entries: tuple[WorldInfoEntry, ...] = ()
    search_depth_characters: Annotated[int, Meta(ge=0)] = 0
    insertion: Insertion = "after_memory"
