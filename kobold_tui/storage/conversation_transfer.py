"""Whole conversations in and out of the store: for files, and for a branch that becomes its own."""

from __future__ import annotations

import os

import msgspec

from kobold_tui.domain.chat import Conversation, ConversationId, MessageId, one_line, tags_of
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.story import ForeignDocument, Story, StoryMessage, chain, check_tree
from kobold_tui.storage.conversation_rows import INSERT_CONVERSATION, storable
from kobold_tui.storage.conversation_shelf import ConversationShelf, as_json, storable_texts
from kobold_tui.storage.conversation_tree import ConversationTree

_COPIED = tuple(name for name in StoryMessage.__struct_fields__ if name != "parent")
_DETAILS = """
    UPDATE conversation SET tags = :tags, settings = :settings, head_id = :head WHERE id = :id
"""


class ConversationTransfer(ConversationTree, ConversationShelf):
    """Takes stories in as conversations and gives conversations out as stories."""

    def add_story(self, story: Story) -> Conversation:
        """Store a whole story as a new conversation; all of it or nothing."""
        if problem := check_tree(story):
            raise KoboldError("Not a whole conversation", f"{story.title}: {problem}.", "Export it again.")
        return self.conversation(self._transact(lambda: self._insert_story(story)))

    def story(self, conversation_id: ConversationId) -> Story:
        """Return a conversation with its whole tree; deleted messages are left out."""
        conversation = self.conversation(conversation_id)
        messages = self._messages(
            "WHERE conversation_id = ? AND deletion IS NULL ORDER BY id", (conversation_id,)
        )
        places: dict[MessageId | None, int | None] = {
            message.id: place for place, message in enumerate(messages)
        }
        return Story(
            title=conversation.title,
            messages=tuple(
                StoryMessage(
                    parent=places.get(message.parent_id),
                    **{name: getattr(message, name) for name in _COPIED},
                )
                for message in messages
            ),
            head=places.get(conversation.head_id),
            system_prompt=conversation.system_prompt,
            tags=conversation.tags,
            settings=self.settings(conversation_id),
            created_at=conversation.created_at,
            foreign=self._foreign(conversation_id),
        )

    def fork(self, message_id: MessageId, title: str = "") -> Conversation:
        """Make a conversation of its own of the path that ends in a message; the old one stays as it is."""
        path = self.path_to(message_id)
        old = self.conversation(path[0].conversation_id)
        messages = tuple(
            StoryMessage(**{name: getattr(message, name) for name in _COPIED}) for message in path
        )
        story = chain(messages, title or old.title)
        return self.add_story(
            msgspec.structs.replace(
                story,
                system_prompt=old.system_prompt,
                tags=old.tags,
                settings=self.settings(old.id),
                created_at=self._clock(),
                foreign=self._foreign(old.id),
            )
        )

    def _insert_story(self, story: Story) -> ConversationId:
        now = self._clock()
        values: dict[str, object] = {
            "id": os.urandom(16).hex(),
            "title": one_line(story.title),
            "system_prompt": story.system_prompt,
            "created_at": story.created_at or now,
            "updated_at": now,
        }
        self._database.execute(INSERT_CONVERSATION, storable(values))
        ids = self._insert_messages(str(values["id"]), story)
        details = {
            "id": values["id"],
            "tags": msgspec.json.encode(tags_of(storable_texts(story.tags))).decode(),
            "settings": as_json(story.settings),
            "head": None if story.head is None else ids[story.head],
        }
        self._database.execute(_DETAILS, details)
        if story.foreign is not None:
            self._database.execute(
                "INSERT INTO foreign_document (conversation_id, format, document) VALUES (?, ?, ?)",
                (values["id"], story.foreign.format, story.foreign.document),
            )
        return ConversationId(str(values["id"]))

    def _insert_messages(self, conversation_id: str, story: Story) -> list[MessageId]:
        """Insert the messages of a story; an answer that was still growing comes as cut off."""
        ids: list[MessageId] = []
        for message in story.messages:
            row: dict[str, object] = {name: getattr(message, name) for name in _COPIED}
            row["conversation_id"] = conversation_id
            row["parent_id"] = None if message.parent is None else ids[message.parent]
            row["usage"] = None if message.usage is None else msgspec.json.encode(message.usage).decode()
            if message.status == "streaming":
                row["status"] = "interrupted"
            ids.append(self._insert_row(row))
        return ids

    def _foreign(self, conversation_id: ConversationId) -> ForeignDocument | None:
        query = "SELECT format, document FROM foreign_document WHERE conversation_id = ?"
        found = self._read(
            query,
            (conversation_id,),
            lambda row: msgspec.convert({"format": row[0], "document": row[1]}, ForeignDocument),
        )
        return found[0] if found else None
