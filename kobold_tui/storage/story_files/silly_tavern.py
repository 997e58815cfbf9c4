"""SillyTavern's chats: JSON lines, the first about the chat, each further one a message with its swipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.generation import Role
from kobold_tui.domain.story import AuthorsNote, Story, StoryMessage, StorySettings
from kobold_tui.storage.story_files.document import (
    MAX_MESSAGES,
    Object,
    clean,
    flag,
    seconds,
    table,
    text,
    unreadable,
    whole,
)

_MOST_SWIPES = 100


def is_chat(value: Any) -> bool:
    """Whether the first line of a file begins a chat of SillyTavern's."""
    return isinstance(value, dict) and (
        ("character_name" in value and "user_name" in value) or "chat_metadata" in value or "mes" in value
    )


def read_chat(lines: list[tuple[int, Any]], path: Path) -> Story:
    """Return the story of numbered lines; swipes are versions, the chosen one is in view.

    Raises KoboldError with the line that is no message.
    """
    head = lines[0][1] if "mes" not in lines[0][1] else {}
    messages: list[StoryMessage] = []
    parent: int | None = None
    for line, value in lines[bool(head) :]:
        if not isinstance(value, dict) or not isinstance(value.get("mes"), str):
            raise unreadable(path, f"line {line} is no message")
        versions, chosen = _versions(value, parent)
        if len(messages) + len(versions) > MAX_MESSAGES:
            raise unreadable(path, f"line {line}: there are more than {MAX_MESSAGES} messages")
        parent = len(messages) + chosen
        messages += versions
    return Story(
        title=text(head, "character_name") or path.stem,
        messages=tuple(messages),
        head=parent,
        settings=_settings(head),
        created_at=seconds(head, "create_date"),
    )


def _versions(value: Object, parent: int | None) -> tuple[list[StoryMessage], int]:
    swipes = value.get("swipes")
    found = [clean(each) for each in swipes if isinstance(each, str)] if isinstance(swipes, list) else []
    chosen = whole(value, "swipe_id", 0)
    shown = clean(value["mes"])
    if len(found) > _MOST_SWIPES or chosen >= len(found):
        found, chosen = [shown], 0
    found[chosen] = shown
    extra = table(value, "extra")
    message = StoryMessage(
        role=_role(value),
        text="",
        parent=parent,
        name=text(value, "name"),
        model=text(extra, "model"),
        created_at=seconds(value, "send_date"),
    )
    versions = [msgspec.structs.replace(message, text=each) for each in found]
    versions[chosen] = msgspec.structs.replace(versions[chosen], reasoning=text(extra, "reasoning"))
    return versions, chosen


def _role(value: Object) -> Role:
    if flag(value, "is_user"):
        return "user"
    return "system" if flag(value, "is_system") else "assistant"


def _settings(head: Object) -> StorySettings:
    about = table(head, "chat_metadata")
    name = text(head, "character_name")
    return StorySettings(
        authors_note=AuthorsNote(text=text(about, "note_prompt")),
        user_name=text(head, "user_name"),
        answer_names=(name,) if name else (),
    )
