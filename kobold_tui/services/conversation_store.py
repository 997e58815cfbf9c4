"""What the conversations service needs of a store and of files; every call may block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from kobold_tui.domain.chat import (
    ChatMessage,
    Conversation,
    ConversationId,
    DeletionId,
    MessageId,
    OutlineNode,
    PathPage,
    SearchHit,
    Versions,
)
from kobold_tui.domain.story import Story, StoryFormat, StorySettings


class TreeStore(Protocol):
    """Conversations on disk, used in a thread of their own."""

    def conversations(
        self, limit: int = 100, offset: int = 0, *, archived: bool = False, tag: str = ""
    ) -> tuple[Conversation, ...]:
        """Return conversations, the one used last first."""
        ...

    def conversation(self, conversation_id: ConversationId) -> Conversation:
        """Return one conversation."""
        ...

    def rename(self, conversation_id: ConversationId, title: str) -> None:
        """Give a conversation another title."""
        ...

    def set_system_prompt(self, conversation_id: ConversationId, text: str) -> None:
        """Give a conversation another system prompt."""
        ...

    def set_tags(self, conversation_id: ConversationId, tags: Iterable[str]) -> None:
        """Give a conversation these tags and no others."""
        ...

    def tags(self) -> dict[str, int]:
        """Return all tags, with how many conversations have each."""
        ...

    def set_archived(self, conversation_id: ConversationId, archived: bool) -> None:
        """Put a conversation into the archive or take it out."""
        ...

    def settings(self, conversation_id: ConversationId) -> StorySettings:
        """Return what belongs to a conversation beside its messages."""
        ...

    def set_settings(self, conversation_id: ConversationId, settings: StorySettings) -> None:
        """Store what belongs to a conversation beside its messages."""
        ...

    def draft(self, conversation_id: ConversationId | None) -> str:
        """Return the prompt that was being written."""
        ...

    def set_draft(self, conversation_id: ConversationId | None, text: str) -> None:
        """Keep a prompt that is being written."""
        ...

    def page(self, message_id: MessageId, limit: int = 50) -> PathPage:
        """Return the end of the path to a message."""
        ...

    def outline(
        self, conversation_id: ConversationId, after: MessageId | None = None, limit: int = 1000
    ) -> tuple[OutlineNode, ...]:
        """Return the messages of a tree."""
        ...

    def edit(self, message_id: MessageId, text: str) -> ChatMessage:
        """Add a version of a message."""
        ...

    def versions(self, message_id: MessageId) -> Versions:
        """Return the versions of a message."""
        ...

    def switch(self, message_id: MessageId) -> MessageId:
        """Bring a version into view; returns the new head."""
        ...

    def set_head(self, conversation_id: ConversationId, message_id: MessageId | None) -> None:
        """Bring a path into view."""
        ...

    def fork(self, message_id: MessageId, title: str = "") -> Conversation:
        """Make a conversation of the path to a message."""
        ...

    def delete_message(self, message_id: MessageId) -> DeletionId:
        """Delete a message with everything below it."""
        ...

    def delete(self, conversation_id: ConversationId) -> DeletionId | None:
        """Delete a conversation."""
        ...

    def restore(self, deletion_id: DeletionId) -> ConversationId:
        """Take a deletion back."""
        ...

    def search(self, query: str, limit: int = 50, offset: int = 0) -> tuple[SearchHit, ...]:
        """Return where all words of a query occur."""
        ...

    def story(self, conversation_id: ConversationId) -> Story:
        """Return a whole conversation."""
        ...

    def add_story(self, story: Story) -> Conversation:
        """Store a whole conversation as a new one."""
        ...

    def close(self) -> None:
        """End the use of the store."""
        ...


class StoryExchange(Protocol):
    """Conversations in files of this and other programs."""

    def read(self, path: Path, user_name: str = "") -> tuple[Story, ...]:
        """Return all conversations of a file, whatever its format."""
        ...

    def write(
        self, stories: Sequence[Story], path: Path, format_: StoryFormat, *, overwrite: bool = False
    ) -> Path:
        """Write conversations to a file; returns its path."""
        ...
