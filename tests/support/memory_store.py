"""A store of conversations in memory that remembers every write, for tests of what is stored when."""

from __future__ import annotations

import itertools
import threading

import msgspec

from kobold_tui.domain.chat import ChatMessage, Conversation, ConversationId, MessageId, MessageStatus
from kobold_tui.domain.generation import FinishReason, Role, Usage


class MemoryStore:
    """Implements the chat service's store."""

    def __init__(self) -> None:
        self.messages: dict[MessageId, ChatMessage] = {}
        self.history: list[ChatMessage] = []
        self.closed = False
        self.reading = threading.Event()
        self.may_read = threading.Event()
        self.may_read.set()
        self._conversations: dict[ConversationId, Conversation] = {}
        self._ids = itertools.count(1)

    def create_conversation(self, title: str, system_prompt: str = "") -> Conversation:
        identity = ConversationId(f"c{next(self._ids)}")
        conversation = Conversation(id=identity, title=title, system_prompt=system_prompt)
        self._conversations[identity] = conversation
        return conversation

    def conversations(self, limit: int = 100, offset: int = 0) -> tuple[Conversation, ...]:
        self.reading.set()
        self.may_read.wait()
        return tuple(reversed(self._conversations.values()))[offset : offset + limit]

    def add_message(
        self,
        conversation_id: ConversationId,
        parent_id: MessageId | None,
        role: Role,
        text: str,
        *,
        status: MessageStatus = "complete",
        model: str = "",
    ) -> ChatMessage:
        message = ChatMessage(
            id=MessageId(next(self._ids)),
            conversation_id=conversation_id,
            parent_id=parent_id,
            role=role,
            text=text,
            status=status,
            model=model,
        )
        conversation = self._conversations[conversation_id]
        self._conversations[conversation_id] = msgspec.structs.replace(conversation, head_id=message.id)
        return self._keep(message)

    def update_message(
        self,
        message_id: MessageId,
        *,
        text: str,
        reasoning: str,
        status: MessageStatus,
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
    ) -> ChatMessage:
        message = msgspec.structs.replace(
            self.messages[message_id],
            text=text,
            reasoning=reasoning,
            status=status,
            finish_reason=finish_reason,
            usage=usage,
        )
        return self._keep(message)

    def path_to(self, message_id: MessageId) -> tuple[ChatMessage, ...]:
        path: list[ChatMessage] = []
        current: MessageId | None = message_id
        while current is not None:
            path.append(self.messages[current])
            current = path[-1].parent_id
        return tuple(reversed(path))

    def close(self) -> None:
        self.closed = True

    def _keep(self, message: ChatMessage) -> ChatMessage:
        self.messages[message.id] = message
        self.history.append(message)
        return message
