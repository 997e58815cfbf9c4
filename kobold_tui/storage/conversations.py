"""Conversations on disk: trees of messages in one SQLite file.

Every call stores at once and may block; the store belongs to one thread at a time. Several copies of the
program can use the same file. An answer that is being written is marked `streaming` with the process that
writes it: once that process is gone, the next to open the file marks the answer `interrupted`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from kobold_tui.domain.chat import ChatMessage, Conversation, ConversationId, MessageId, MessageStatus
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import FinishReason, Role, Usage
from kobold_tui.storage.conversation_rows import (
    CONVERSATION_COLUMNS,
    INSERT_CONVERSATION,
    INSERT_MESSAGE,
    IS_IN_CONVERSATION,
    MESSAGE_COLUMNS,
    PATH_TO,
    UPDATE_MESSAGE,
    conversation_of,
    message_of,
    storable,
)
from kobold_tui.storage.migrations import in_transaction, migrate
from kobold_tui.storage.paths import make_private_folder
from kobold_tui.storage.process_identity import is_alive, own_identity
from kobold_tui.storage.sqlite_errors import in_words

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

IN_MEMORY = Path(":memory:")
"""In place of a file: conversations that nobody keeps, gone when the store is closed."""


class ConversationStore:
    """All conversations of one user; every method raises KoboldError where the file cannot be used."""

    def __init__(
        self, path: Path, *, busy_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._clock = clock
        self._owner = own_identity()
        with in_words(path):
            self._database = _open(path, busy_seconds)
            try:
                migrate(self._database, path)
                self._end_abandoned()
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with in_words(self._path):
            self._database.close()

    def create_conversation(self, title: str, system_prompt: str = "") -> Conversation:
        """Start a conversation without messages."""
        now = self._clock()
        conversation = Conversation(
            id=ConversationId(os.urandom(16).hex()),
            title=title,
            system_prompt=system_prompt,
            created_at=now,
            updated_at=now,
        )
        self._write(INSERT_CONVERSATION, msgspec.structs.asdict(conversation))
        return conversation

    def conversations(self, limit: int = 100, offset: int = 0) -> tuple[Conversation, ...]:
        """Return conversations, the one used last first."""
        return self._conversations("ORDER BY updated_at DESC, rowid DESC LIMIT ? OFFSET ?", (limit, offset))

    def conversation(self, conversation_id: ConversationId) -> Conversation:
        """Return one conversation."""
        found = self._conversations("WHERE id = ?", (conversation_id,))
        if not found:
            raise _gone("conversation")
        return found[0]

    def rename(self, conversation_id: ConversationId, title: str) -> None:
        """Give a conversation another title."""
        values = {"title": title, "id": conversation_id}
        self._change("UPDATE conversation SET title = :title WHERE id = :id", values, "conversation")

    def delete(self, conversation_id: ConversationId) -> None:
        """Delete a conversation with all its messages; deleting one that is gone is no error."""
        self._write("DELETE FROM conversation WHERE id = :id", {"id": conversation_id})

    def set_head(self, conversation_id: ConversationId, message_id: MessageId | None) -> None:
        """Bring the path that ends in a message of this conversation into view."""
        self._transact(lambda: self._move_head(conversation_id, message_id, self._clock()))

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
            "created_at": self._clock(),
            "owner": self._owner if status == "streaming" else None,
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
        """Store what a message has become and return it whole; what is None stays as it was."""
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
        return self.message(message_id)

    def message(self, message_id: MessageId) -> ChatMessage:
        """Return one message."""
        found = self._messages("WHERE id = ?", (message_id,))
        if not found:
            raise _gone("message")
        return found[0]

    def path_to(self, message_id: MessageId) -> tuple[ChatMessage, ...]:
        """Return the messages from the first of the conversation to this one."""
        path = self._read(PATH_TO, (message_id,), message_of)
        if not path:
            raise _gone("message")
        return path

    def children(self, message_id: MessageId) -> tuple[ChatMessage, ...]:
        """Return the messages directly below one: its answers, the oldest first."""
        return self._messages("WHERE parent_id = ? ORDER BY id", (message_id,))

    def roots(self, conversation_id: ConversationId) -> tuple[ChatMessage, ...]:
        """Return the first messages of a conversation, the oldest first."""
        return self._messages(
            "WHERE conversation_id = ? AND parent_id IS NULL ORDER BY id", (conversation_id,)
        )

    def _insert(self, values: dict[str, object]) -> MessageId:
        conversation_id, parent_id = values["conversation_id"], values["parent_id"]
        self._check_is_in(conversation_id, parent_id)
        message_id = MessageId(self._database.execute(INSERT_MESSAGE, storable(values)).lastrowid or 0)
        self._move_head(conversation_id, message_id, values["created_at"])
        return message_id

    def _move_head(self, conversation_id: object, message_id: object, now: object) -> None:
        self._check_is_in(conversation_id, message_id)
        self._database.execute(
            "UPDATE conversation SET head_id = ?, updated_at = ? WHERE id = ?",
            (message_id, now, conversation_id),
        )

    def _check_is_in(self, conversation_id: object, message_id: object) -> None:
        values = {"conversation": conversation_id, "message": message_id}
        if self._database.execute(IS_IN_CONVERSATION, values).fetchone() is None:
            raise _gone("conversation" if message_id is None else "message of this conversation")

    def _end_abandoned(self) -> None:
        rows = self._database.execute("SELECT id, owner FROM message WHERE status = 'streaming'").fetchall()
        for message_id, owner in rows:
            if owner is None or not is_alive(owner):
                self._database.execute(
                    "UPDATE message SET status = 'interrupted', owner = NULL "
                    "WHERE id = ? AND status = 'streaming' AND owner IS ?",
                    (message_id, owner),
                )

    def _conversations(self, where: str, values: tuple[object, ...]) -> tuple[Conversation, ...]:
        query = f"SELECT {CONVERSATION_COLUMNS} FROM conversation {where}"  # noqa: S608 - made of constants
        return self._read(query, values, conversation_of)

    def _messages(self, where: str, values: tuple[object, ...]) -> tuple[ChatMessage, ...]:
        query = f"SELECT {MESSAGE_COLUMNS} FROM message {where}"  # noqa: S608 - made of constants
        return self._read(query, values, message_of)

    def _read(
        self, query: str, values: tuple[object, ...], make: Callable[[tuple[object, ...]], T]
    ) -> tuple[T, ...]:
        with in_words(self._path):
            return tuple(make(row) for row in self._database.execute(query, values))

    def _transact(self, work: Callable[[], T]) -> T:
        with in_words(self._path):
            return in_transaction(self._database, work)

    def _write(self, statement: str, values: Mapping[str, object]) -> int:
        with in_words(self._path):
            return self._database.execute(statement, storable(values)).rowcount

    def _change(self, statement: str, values: Mapping[str, object], what: str) -> None:
        if self._write(statement, values) == 0:
            raise _gone(what)


def _open(path: Path, busy_seconds: float) -> sqlite3.Connection:
    import sqlite3

    if path != IN_MEMORY:
        make_private_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        database.close()
        raise
    return database


def _gone(what: str) -> KoboldError:
    return KoboldError(
        "Not there any more", f"The {what} does not exist.", "It may have been deleted; reload."
    )
