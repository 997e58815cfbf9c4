"""Character cards of the Tavern family: JSON of the specifications V1, V2 and V3, alone or inside a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kobold_tui.domain.character import Character
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.world_info import WorldInfo, WorldInfoEntry
from kobold_tui.storage.card_png import card_texts, is_png
from kobold_tui.storage.story_files.document import (
    Object,
    clean,
    decode,
    flag,
    parse,
    read_bytes,
    table,
    tables,
    text,
    texts,
    unreadable,
    whole,
)

_MOST_ENTRIES = 10_000
_MOST_GREETINGS = 1000


def read_card(path: Path) -> Character:
    """Return the character of a card. Raises KoboldError for a file that holds none."""
    return parse_card(read_bytes(path.expanduser()), path)


def parse_card(content: bytes, path: Path) -> Character:
    """Return the character that the content of a file describes. Raises KoboldError, which names `path`."""
    if not is_png(content):
        return character_of(parse(decode(content, path), path), path)
    problem = unreadable(path, "the picture holds no character")
    for found in card_texts(content, path):
        try:
            return character_of(parse(decode(found, path), path), path)
        except KoboldError as error:
            problem = error
    raise problem


def is_card(value: Any) -> bool:
    """Whether a JSON value is a character card."""
    if not isinstance(value, dict):
        return False
    if text(value, "spec").startswith("chara_card_v"):
        return isinstance(value.get("data"), dict)
    return isinstance(value.get("name"), str) and ("first_mes" in value or "personality" in value)


def character_of(value: Any, path: Path) -> Character:
    """Return the character of a card's JSON; V2 and V3 keep it below `data`. Raises KoboldError."""
    if not is_card(value):
        raise unreadable(path, "it is no character card: it has no spec, and no name with a first_mes")
    data = table(value, "data") or value
    name = text(data, "name").strip()
    if not name:
        raise unreadable(path, "the character has no name")
    return Character(
        name=name,
        nickname=text(data, "nickname").strip(),
        description=text(data, "description"),
        personality=text(data, "personality"),
        scenario=text(data, "scenario"),
        greetings=_greetings(data),
        examples=text(data, "mes_example"),
        system_prompt=text(data, "system_prompt"),
        post_history=text(data, "post_history_instructions"),
        creator=text(data, "creator"),
        creator_notes=text(data, "creator_notes"),
        version=text(data, "character_version"),
        tags=texts(data, "tags"),
        lorebook=lorebook_of(table(data, "character_book")),
    )


def lorebook_of(book: Object) -> WorldInfo:
    """Return the world info of a `character_book`, or of a lorebook file of SillyTavern's.

    Their `scan_depth` counts messages, which has no counterpart in characters: all of the text is searched.
    """
    return WorldInfo(entries=tuple(_entry(each) for each in tables(book, "entries", _MOST_ENTRIES)))


def _greetings(data: Object) -> tuple[str, ...]:
    others = data.get("alternate_greetings")
    listed = [data.get("first_mes"), *(others if isinstance(others, list) else [])][:_MOST_GREETINGS]
    return tuple(clean(each) for each in listed if isinstance(each, str) and each)


def _entry(entry: Object) -> WorldInfoEntry:
    extensions = table(entry, "extensions")
    return WorldInfoEntry(
        content=text(entry, "content"),
        keys=texts(entry, "keys") or texts(entry, "key"),
        secondary_keys=texts(entry, "secondary_keys") or texts(entry, "keysecondary"),
        comment=text(entry, "comment", "name"),
        selective=flag(entry, "selective"),
        constant=flag(entry, "constant"),
        enabled=flag(entry, "enabled", default=True) and not flag(entry, "disable"),
        case_sensitive=flag(entry, "case_sensitive"),
        probability=whole({**extensions, **entry}, "probability", 100, 0, 100),
        order=whole(entry, "insertion_order", whole(entry, "order", 0, -(2**31)), -(2**31)),
    )
