"""Conversations as a list shows them, and what each keeps beside its messages: tags, settings, a draft."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from kobold_tui.domain.chat import Conversation, ConversationId, one_line, tags_of
from kobold_tui.domain.story import StorySettings
from kobold_tui.storage.conversation_database import ConversationDatabase, gone
from kobold_tui.storage.conversation_rows import CONVERSATION_COLUMNS, INSERT_CONVERSATION, conversation_of

_NOT_BEGUN = ""
_HAS_TAG = "(? = '' OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?))"
_CHANGE = "UPDATE conversation SET {column} = :value WHERE id = :id AND deletion IS NULL"
_TAGS = """
    SELECT value, count(*) FROM conversation, json_each(conversation.tags)
    WHERE deletion IS NULL GROUP BY value ORDER BY value
"""
_SET_DRAFT = """
    INSERT INTO draft (conversation_id, text) VALUES (:id, :text)
    ON CONFLICT (conversation_id) DO UPDATE SET text = excluded.text
"""


class ConversationShelf(ConversationDatabase):
    """Conversations by their id; a deleted one counts as gone."""

    def create_conversation(self, title: str, system_prompt: str = "") -> Conversation:
        """Start a conversation without messages."""
        now = self._clock()
        conversation = Conversation(
            id=ConversationId(os.urandom(16).hex()),
            title=one_line(title),
            system_prompt=system_prompt,
            created_at=now,
            updated_at=now,
        )
        self._write(INSERT_CONVERSATION, msgspec.structs.asdict(conversation))
        return conversation

    def conversations(
        self, limit: int = 100, offset: int = 0, *, archived: bool = False, tag: str = ""
    ) -> tuple[Conversation, ...]:
        """Return conversations, the one used last first: those in the archive, or those that are not."""
        return self._conversations(
            f"WHERE deletion IS NULL AND archived = ? AND {_HAS_TAG} "
            "ORDER BY updated_at DESC, rowid DESC LIMIT ? OFFSET ?",
            (int(archived), tag, tag, limit, offset),
        )

    def conversation(self, conversation_id: ConversationId) -> Conversation:
        """Return one conversation."""
        found = self._conversations("WHERE id = ? AND deletion IS NULL", (conversation_id,))
        if not found:
            raise gone("conversation")
        return found[0]

    def rename(self, conversation_id: ConversationId, title: str) -> None:
        """Give a conversation another title, as one line without control characters."""
        self._set(conversation_id, "title", one_line(title))

    def set_system_prompt(self, conversation_id: ConversationId, text: str) -> None:
        """Give a conversation another system prompt."""
        self._set(conversation_id, "system_prompt", text)

    def set_tags(self, conversation_id: ConversationId, tags: Iterable[str]) -> None:
        """Give a conversation these tags and no others."""
        self._set(conversation_id, "tags", msgspec.json.encode(tags_of(storable_texts(tags))).decode())

    def tags(self) -> dict[str, int]:
        """Return all tags in their order, with how many conversations have each."""
        return dict(self._read(_TAGS, (), lambda row: (str(row[0]), int(str(row[1])))))

    def set_archived(self, conversation_id: ConversationId, archived: bool) -> None:
        """Put a conversation into the archive or take it out."""
        self._set(conversation_id, "archived", int(archived))

    def settings(self, conversation_id: ConversationId) -> StorySettings:
        """Return what belongs to a conversation beside its messages."""
        query = "SELECT settings FROM conversation WHERE id = ? AND deletion IS NULL"
        found = self._read(
            query, (conversation_id,), lambda row: msgspec.json.decode(str(row[0]), type=StorySettings)
        )
        if not found:
            raise gone("conversation")
        return found[0]

    def set_settings(self, conversation_id: ConversationId, settings: StorySettings) -> None:
        """Store what belongs to a conversation beside its messages."""
        self._set(conversation_id, "settings", as_json(settings))

    def draft(self, conversation_id: ConversationId | None) -> str:
        """Return the prompt that was being written; without a conversation, that of one not begun yet."""
        query = "SELECT text FROM draft WHERE conversation_id = ?"
        found = self._read(query, (conversation_id or _NOT_BEGUN,), lambda row: str(row[0]))
        return found[0] if found else ""

    def set_draft(self, conversation_id: ConversationId | None, text: str) -> None:
        """Keep a prompt that is being written; an empty one is forgotten."""
        values = {"id": conversation_id or _NOT_BEGUN, "text": text}
        self._write(_SET_DRAFT if text else "DELETE FROM draft WHERE conversation_id = :id", values)

    def _set(self, conversation_id: ConversationId, column: str, value: object) -> None:
        values = {"id": conversation_id, "value": value}
        self._change(_CHANGE.format(column=column), values, "conversation")

    def _conversations(self, where: str, values: tuple[object, ...]) -> tuple[Conversation, ...]:
        query = f"SELECT {CONVERSATION_COLUMNS} FROM conversation {where}"  # noqa: S608 - made of constants
        return self._read(query, values, conversation_of)


def as_json(settings: StorySettings) -> str:
    """Return settings as JSON; halves of surrogate pairs become question marks."""
    try:
        return msgspec.json.encode(settings).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(msgspec.to_builtins(settings))).decode()


def storable_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts that UTF-8 can hold."""
    return tuple(text.encode("utf-8", "replace").decode() for text in texts)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return storable_texts([value])[0]
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value
