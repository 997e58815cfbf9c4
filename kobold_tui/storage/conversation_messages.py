"""Single messages of stored conversations: adding, growing, and reading them alone or as a path."""

from __future__ import annotations

import msgspec

from kobold_tui.domain.chat import ChatMessage, ConversationId, MessageId, MessageStatus
from kobold_tui.domain.generation import FinishReason, Role, Usage
from kobold_tui.storage.conversation_database import ConversationDatabase, gone
from kobold_tui.storage.conversation_rows import (
    INSERT_MESSAGE,
    MESSAGE_COLUMNS,
    PATH_TO,
    UPDATE_MESSAGE,
    message_of,
    storable,
)


class ConversationMessages(ConversationDatabase):
    """Messages by their number; a deleted one counts as gone."""

    def add_message(  # noqa: PLR0913 - one argument for each column
        self,
        conversation_id: ConversationId,
        parent_id: MessageId | None,
        role: Role,
        text: str,
        *,
        reasoning: str = "",
        status: MessageStatus = "complete",
        model: str = "",
        name: str = "",
    ) -> ChatMessage:
        """Add a message below `parent_id` of the same conversation and make it the head."""
        values: dict[str, object] = {
            "conversation_id": conversation_id,
            "parent_id": parent_id,
            "role": role,
            "text": text,
            "reasoning": reasoning,
            "status": status,
            "model": model,
            "name": name,
        }
        return self.message(self._transact(lambda: self._insert(values)))

    def update_message(  # noqa: PLR0913 - one argument for each column
        self,
        message_id: MessageId,
        *,
        text: str | None = None,
        reasoning: str | None = None,
        status: MessageStatus | None = None,
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
        model: str | None = None,
    ) -> ChatMessage:
        """Store what a message has become and return it whole; what is None stays as it was.

        An answer that is deleted while it grows is still stored, so that all of it can come back.
        """
        values: dict[str, object] = {
            "id": message_id,
            "text": text,
            "reasoning": reasoning,
            "status": status,
            "finish_reason": finish_reason,
            "usage": None if usage is None else msgspec.json.encode(usage).decode(),
            "model": model,
            "owner": self._owner,
        }
        self._change(UPDATE_MESSAGE, values, "message")
        return self._messages("WHERE id = ?", (message_id,))[0]

    def message(self, message_id: MessageId) -> ChatMessage:
        """Return one message."""
        found = self._messages("WHERE id = ? AND deletion IS NULL", (message_id,))
        if not found:
            raise gone("message")
        return found[0]

    def path_to(self, message_id: MessageId) -> tuple[ChatMessage, ...]:
        """Return the messages from the first of the conversation to this one."""
        return self._end_of_path(message_id, -1)

    def children(self, message_id: MessageId) -> tuple[ChatMessage, ...]:
        """Return the messages directly below one: its answers, the oldest first."""
        return self._messages("WHERE parent_id = ? AND deletion IS NULL ORDER BY id", (message_id,))

    def roots(self, conversation_id: ConversationId) -> tuple[ChatMessage, ...]:
        """Return the first messages of a conversation, the oldest first."""
        return self._messages(
            "WHERE conversation_id = ? AND parent_id IS NULL AND deletion IS NULL ORDER BY id",
            (conversation_id,),
        )

    def _end_of_path(self, message_id: MessageId, most: int) -> tuple[ChatMessage, ...]:
        """Return the last `most` messages of a path, all of them where it is negative."""
        path = self._read(PATH_TO, (message_id, most), message_of)
        if not path:
            raise gone("message")
        return path

    def _insert(self, values: dict[str, object]) -> MessageId:
        """Insert a message with some of its columns inside a transaction, and make it the head."""
        now = self._clock()
        conversation_id, parent_id = values["conversation_id"], values["parent_id"]
        self._check_is_in(conversation_id, parent_id)
        message_id = self._insert_row({"created_at": now, **values})
        self._move_head(conversation_id, message_id, now)
        return message_id

    def _insert_row(self, values: dict[str, object]) -> MessageId:
        owner = self._owner if values.get("status") == "streaming" else None
        row = {"reasoning": "", "model": "", "name": "", "finish_reason": None, "usage": None, **values}
        return MessageId(
            self._database.execute(INSERT_MESSAGE, storable({**row, "owner": owner})).lastrowid or 0
        )

    def _move_head(self, conversation_id: object, message_id: object, now: object) -> None:
        self._check_is_in(conversation_id, message_id)
        self._database.execute(
            "UPDATE conversation SET head_id = ?, updated_at = ? WHERE id = ?",
            (message_id, now, conversation_id),
        )

    def _messages(self, where: str, values: tuple[object, ...]) -> tuple[ChatMessage, ...]:
        query = f"SELECT {MESSAGE_COLUMNS} FROM message {where}"  # noqa: S608 - made of constants
        return self._read(query, values, message_of)
