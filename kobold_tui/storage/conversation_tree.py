"""Conversations as trees: versions of a message, ways through them, and deleting that can be taken back."""

from __future__ import annotations

from collections.abc import Sequence

from kobold_tui.domain.chat import (
    ChatMessage,
    ConversationId,
    DeletionId,
    MessageId,
    OutlineNode,
    PathPage,
    Versions,
    one_line,
)
from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.conversation_database import gone
from kobold_tui.storage.conversation_messages import ConversationMessages
from kobold_tui.storage.conversation_rows import BELOW
from kobold_tui.storage.sqlite_errors import in_words

_BEGINNING = 80
_NEWEST_LEAF = f"{BELOW} SELECT max(id) FROM below"  # noqa: S608 - made of constants
_DELETE_BELOW = f"{BELOW} UPDATE message SET deletion = :deletion WHERE id IN below"  # noqa: S608 - constants
_HOLDS = f"{BELOW} SELECT 1 FROM below WHERE id = :head"  # noqa: S608 - made of constants
_ANY_OLD = "SELECT 1 FROM deletion WHERE deleted_at < :before LIMIT 1"
_WAS_IN = "SELECT 1 FROM message WHERE id = ? AND deletion = ?"
_VERSIONS = """
    SELECT id FROM message WHERE conversation_id = ? AND parent_id IS ? AND deletion IS NULL ORDER BY id
"""
_OUTLINE = """
    WITH RECURSIVE path (id, up) AS (
        SELECT message.id, message.parent_id FROM message
            JOIN conversation ON message.id = conversation.head_id WHERE conversation.id = :id
        UNION ALL
        SELECT message.id, message.parent_id FROM message JOIN path ON message.id = path.up
    )
    SELECT message.id, parent_id, role, substr(text, 1, 400), depth, status, path.id IS NOT NULL
    FROM message LEFT JOIN path ON message.id = path.id
    WHERE conversation_id = :id AND deletion IS NULL AND message.id > :after
    ORDER BY message.id LIMIT :limit
"""


class ConversationTree(ConversationMessages):
    """What can be done with a tree; every step is stored at once, all of it or nothing."""

    def set_head(self, conversation_id: ConversationId, message_id: MessageId | None) -> None:
        """Bring the path that ends in a message of this conversation into view."""
        self._transact(lambda: self._move_head(conversation_id, message_id, self._clock()))

    def edit(self, message_id: MessageId, text: str) -> ChatMessage:
        """Add a version of a message with another text and bring it into view; the old one stays."""
        old = self.message(message_id)
        return self.add_message(
            old.conversation_id, old.parent_id, old.role, text, model=old.model, name=old.name
        )

    def versions(self, message_id: MessageId) -> Versions:
        """Return the versions that a message is one of."""
        return self._versions_of([self.message(message_id)])[0]

    def switch(self, message_id: MessageId) -> MessageId:
        """Bring a version into view with the newest that follows it; returns the new head."""

        def work() -> MessageId:
            message = self.message(message_id)
            (head,) = self._database.execute(_NEWEST_LEAF, {"id": message_id}).fetchone()
            self._move_head(message.conversation_id, head, self._clock())
            return MessageId(head)

        return self._transact(work)

    def page(self, message_id: MessageId, limit: int = 50) -> PathPage:
        """Return the last `limit` messages of the path that ends in a message.

        Costs as much as the page has messages, however long the path is; `earlier` of the page is what the
        page before it is asked for with.
        """
        messages = self._end_of_path(message_id, max(1, limit))
        return PathPage(messages=messages, versions=self._versions_of(messages))

    def outline(
        self, conversation_id: ConversationId, after: MessageId | None = None, limit: int = 1000
    ) -> tuple[OutlineNode, ...]:
        """Return messages of a tree, the oldest first, so that a message follows the one above it.

        `after` is the last message of the outline before.
        """
        values = {"id": conversation_id, "after": after or 0, "limit": limit}
        return self._read(_OUTLINE, values, _node)

    def delete_message(self, message_id: MessageId) -> DeletionId:
        """Delete a message with everything below it; `restore` takes that back.

        The head moves to the version before it, with the newest that follows, else to the message above.
        """

        def work() -> DeletionId:
            message = self.message(message_id)
            deletion = self._begin_deletion(message.conversation_id, message_id)
            head = self._head(message.conversation_id)
            goes = self._database.execute(_HOLDS, {"id": message_id, "head": head}).fetchone()
            versions = self.versions(message_id)
            self._database.execute(_DELETE_BELOW, {"id": message_id, "deletion": deletion})
            if goes:
                self._step_aside(message, versions.previous or versions.next)
            return deletion

        return self._transact(work)

    def delete(self, conversation_id: ConversationId) -> DeletionId | None:
        """Delete a conversation with all its messages; None, and no error, where it is gone already."""

        def work() -> DeletionId | None:
            try:
                deletion = self._begin_deletion(conversation_id, None)
            except KoboldError:
                return None
            for table, key in (("conversation", "id"), ("message", "conversation_id")):
                self._database.execute(
                    f"UPDATE {table} SET deletion = ? WHERE {key} = ? AND deletion IS NULL",  # noqa: S608
                    (deletion, conversation_id),
                )
            return deletion

        return self._transact(work)

    def restore(self, deletion_id: DeletionId) -> ConversationId:
        """Take a deletion back, with the view where that was inside it; returns the conversation.

        Raises KoboldError where it was purged, or where a part that was deleted later is in the way.
        """

        def work() -> ConversationId:
            query = "SELECT conversation_id, message_id, head_id FROM deletion WHERE id = ?"
            row = self._database.execute(query, (deletion_id,)).fetchone()
            if row is None:
                raise gone("deletion")
            conversation_id, message_id, head_id = row
            if message_id is not None:
                self._check_above(conversation_id, message_id)
            returns = self._database.execute(_WAS_IN, (head_id, deletion_id)).fetchone()
            for table in ("conversation", "message"):
                self._database.execute(
                    f"UPDATE {table} SET deletion = NULL WHERE deletion = ?",  # noqa: S608 - constants
                    (deletion_id,),
                )
            self._database.execute("DELETE FROM deletion WHERE id = ?", (deletion_id,))
            if returns:
                self._move_head(conversation_id, head_id, self._clock())
            return ConversationId(conversation_id)

        return self._transact(work)

    def purge(self, before: float | None = None) -> int:
        """Remove for good what was deleted before a moment (seconds since the epoch), else all of it.

        Returns how many messages went. The lowest messages go first, because a message takes what is below
        it along, and databases follow such chains only so far.
        """
        values = {"before": float("inf") if before is None else before}
        if not self._read(_ANY_OLD, values, bool):
            return 0

        def work() -> int:
            old = "(SELECT id FROM deletion WHERE deleted_at < :before)"
            rows = self._database.execute(
                f"SELECT id FROM message WHERE deletion IN {old} ORDER BY id DESC",  # noqa: S608 - constant
                values,
            ).fetchall()
            self._database.executemany("DELETE FROM message WHERE id = ?", rows)
            for statement in (
                f"DELETE FROM conversation WHERE deletion IN {old}",  # noqa: S608 - constant
                "DELETE FROM deletion WHERE deleted_at < :before",
            ):
                self._database.execute(statement, values)
            return len(rows)

        return self._transact(work)

    def _begin_deletion(self, conversation_id: ConversationId, message_id: MessageId | None) -> DeletionId:
        self._check_is_in(conversation_id, message_id)
        row = self._database.execute(
            "INSERT INTO deletion (conversation_id, message_id, head_id, deleted_at) VALUES (?, ?, ?, ?)",
            (conversation_id, message_id, self._head(conversation_id), self._clock()),
        )
        return DeletionId(row.lastrowid or 0)

    def _step_aside(self, deleted: ChatMessage, version: MessageId | None) -> None:
        head = deleted.parent_id
        if version is not None:
            (head,) = self._database.execute(_NEWEST_LEAF, {"id": version}).fetchone()
        self._move_head(deleted.conversation_id, head, self._clock())

    def _check_above(self, conversation_id: ConversationId, message_id: MessageId) -> None:
        """Raise KoboldError unless the conversation is there, and what the message stands below."""
        query = "SELECT parent_id FROM message WHERE id = ?"
        (parent_id,) = self._database.execute(query, (message_id,)).fetchone()
        self._check_is_in(conversation_id, parent_id)

    def _head(self, conversation_id: ConversationId) -> MessageId | None:
        query = "SELECT head_id FROM conversation WHERE id = ?"
        row = self._database.execute(query, (conversation_id,)).fetchone()
        return row[0] if row else None

    def _versions_of(self, messages: Sequence[ChatMessage]) -> tuple[Versions, ...]:
        found = []
        with in_words(self._path):
            for message in messages:
                rows = self._database.execute(_VERSIONS, (message.conversation_id, message.parent_id))
                ids = tuple(MessageId(row[0]) for row in rows)
                found.append(Versions(ids=ids, index=ids.index(message.id)))
        return tuple(found)


def _node(row: tuple[object, ...]) -> OutlineNode:
    import msgspec

    fields = dict(zip(OutlineNode.__struct_fields__, row, strict=True))
    beginning = one_line(str(fields["beginning"]), _BEGINNING)
    return msgspec.convert(
        {**fields, "beginning": beginning, "in_view": bool(fields["in_view"])}, OutlineNode
    )
