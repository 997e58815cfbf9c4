"""Conversations for the front ends: the tree, the list, search, drafts, and files of other programs.

The store works in its own thread and files in another, so that a slow disk somewhere delays no answer.
A new answer to a message (`ReplyRequest.parent_id`) or the rest of one (`continues`) is the chat service's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

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
from kobold_tui.domain.story import StoryFormat, StorySettings
from kobold_tui.services.conversation_store import StoryExchange, TreeStore
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread

T = TypeVar("T")


class ConversationsService(LoopBound):
    """Everything about conversations but the replies; every call raises KoboldError where it cannot work.

    `open_store` is called in `thread`, which is the one that the chat service uses the same store in.
    """

    def __init__(
        self,
        open_store: Callable[[], TreeStore],
        thread: OwnThread,
        exchange: StoryExchange,
        files: OwnThread,
    ) -> None:
        super().__init__()
        self._open_store = open_store
        self._store: TreeStore | None = None
        self._thread = thread
        self._exchange = exchange
        self._files = files

    async def recent(
        self, limit: int = 100, offset: int = 0, *, archived: bool = False, tag: str = ""
    ) -> tuple[Conversation, ...]:
        """Return conversations, the one used last first: those in the archive, or those that are not."""
        return await self._call(lambda store: store.conversations(limit, offset, archived=archived, tag=tag))

    async def get(self, conversation_id: ConversationId) -> Conversation:
        """Return one conversation."""
        return await self._call(lambda store: store.conversation(conversation_id))

    async def page(self, message_id: MessageId, limit: int = 50) -> PathPage:
        """Return the last messages of the path that ends in one; `earlier` of a page leads to that before."""
        return await self._call(lambda store: store.page(message_id, limit))

    async def newest_page(self, conversation_id: ConversationId, limit: int = 50) -> PathPage:
        """Return the end of the path in view; an empty page where nothing is."""

        def work(store: TreeStore) -> PathPage:
            head = store.conversation(conversation_id).head_id
            return PathPage() if head is None else store.page(head, limit)

        return await self._call(work)

    async def outline(
        self, conversation_id: ConversationId, after: MessageId | None = None, limit: int = 1000
    ) -> tuple[OutlineNode, ...]:
        """Return messages of the tree, the oldest first; `after` is the last of the outline before."""
        return await self._call(lambda store: store.outline(conversation_id, after, limit))

    async def edit(self, message_id: MessageId, text: str) -> ChatMessage:
        """Add a version of a message with another text and bring it into view; the old one stays."""
        return await self._call(lambda store: store.edit(message_id, text))

    async def versions(self, message_id: MessageId) -> Versions:
        """Return the versions that a message is one of."""
        return await self._call(lambda store: store.versions(message_id))

    async def switch(self, message_id: MessageId) -> MessageId:
        """Bring a version into view with the newest that follows it; returns the new head."""
        return await self._call(lambda store: store.switch(message_id))

    async def look_at(self, conversation_id: ConversationId, message_id: MessageId | None) -> None:
        """Bring the path that ends in a message into view, so that what is said next follows it."""
        await self._call(lambda store: store.set_head(conversation_id, message_id))

    async def fork(self, message_id: MessageId, title: str = "") -> Conversation:
        """Make a conversation of its own of the path that ends in a message."""
        return await self._call(lambda store: store.fork(message_id, title))

    async def delete_message(self, message_id: MessageId) -> DeletionId:
        """Delete a message with everything below it; `restore` takes that back."""
        return await self._call(lambda store: store.delete_message(message_id))

    async def delete(self, conversation_id: ConversationId) -> DeletionId | None:
        """Delete a conversation; None where it is gone already. `restore` takes that back."""
        return await self._call(lambda store: store.delete(conversation_id))

    async def restore(self, deletion_id: DeletionId) -> ConversationId:
        """Take a deletion back; returns the conversation that it was in."""
        return await self._call(lambda store: store.restore(deletion_id))

    async def search(self, query: str, limit: int = 50, offset: int = 0) -> tuple[SearchHit, ...]:
        """Return where all words of a query occur, titles first; see `ConversationSearch.search`."""
        return await self._call(lambda store: store.search(query, limit, offset))

    async def rename(self, conversation_id: ConversationId, title: str) -> Conversation:
        """Give a conversation another title, as one line without control characters."""

        def work(store: TreeStore) -> Conversation:
            store.rename(conversation_id, title)
            return store.conversation(conversation_id)

        return await self._call(work)

    async def set_system_prompt(self, conversation_id: ConversationId, text: str) -> None:
        """Give a conversation another system prompt."""
        await self._call(lambda store: store.set_system_prompt(conversation_id, text))

    async def set_tags(self, conversation_id: ConversationId, tags: Sequence[str]) -> None:
        """Give a conversation these tags and no others."""
        await self._call(lambda store: store.set_tags(conversation_id, tags))

    async def tags(self) -> dict[str, int]:
        """Return all tags, with how many conversations have each."""
        return await self._call(lambda store: store.tags())

    async def set_archived(self, conversation_id: ConversationId, *, archived: bool) -> None:
        """Put a conversation into the archive or take it out."""
        await self._call(lambda store: store.set_archived(conversation_id, archived))

    async def settings(self, conversation_id: ConversationId) -> StorySettings:
        """Return what belongs to a conversation beside its messages: mode, memory, world info and more."""
        return await self._call(lambda store: store.settings(conversation_id))

    async def set_settings(self, conversation_id: ConversationId, settings: StorySettings) -> None:
        """Store what belongs to a conversation beside its messages."""
        await self._call(lambda store: store.set_settings(conversation_id, settings))

    async def draft(self, conversation_id: ConversationId | None) -> str:
        """Return the prompt that was being written; None is the conversation that has not begun."""
        return await self._call(lambda store: store.draft(conversation_id))

    async def set_draft(self, conversation_id: ConversationId | None, text: str) -> None:
        """Keep a prompt that is being written; an empty one is forgotten."""
        await self._call(lambda store: store.set_draft(conversation_id, text))

    async def import_file(self, path: Path, user_name: str = "") -> tuple[Conversation, ...]:
        """Store all conversations of a file of a known format, or the beginning with a character card.

        `user_name` stands for `{{user}}` in greetings. Raises KoboldError, which names file and place.
        """
        self.check_loop()
        stories = await self._files.call(self._exchange.read, path, user_name)
        return await self._call(lambda store: tuple(store.add_story(story) for story in stories))

    async def export(
        self,
        conversation_ids: Sequence[ConversationId],
        path: Path,
        format_: StoryFormat,
        *,
        overwrite: bool = False,
    ) -> Path:
        """Write conversations to a file; returns its path.

        Raises UsageError where the file exists and `overwrite` is not set, or where the format holds one
        conversation only; KoboldError where the file cannot be written.
        """
        stories = await self._call(lambda store: tuple(store.story(each) for each in conversation_ids))
        return await self._files.call(
            lambda: self._exchange.write(stories, path, format_, overwrite=overwrite)
        )

    async def close(self) -> None:
        """Close the store after what is under way in it."""
        if self._store is not None:
            await self._call(lambda store: store.close())

    async def _call(self, use: Callable[[TreeStore], T]) -> T:
        self.check_loop()
        return await self._thread.call(self._use, use)

    def _use(self, use: Callable[[TreeStore], T]) -> T:
        if self._store is None:
            self._store = self._open_store()
        return use(self._store)
