"""A store of conversations in memory that remembers every write, for tests of what is stored when."""

from __future__ import annotations

import threading

from kobold_tui.domain.chat import ChatMessage, Conversation, ConversationId, MessageId, MessageStatus
from kobold_tui.domain.generation import FinishReason, Role, Usage
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore


class MemoryStore(ConversationStore):
    """The real store without a file; `messages` has the newest state of each, `history` every write."""

    def __init__(self) -> None:
        super().__init__(IN_MEMORY)
        self.messages: dict[MessageId, ChatMessage] = {}
        self.history: list[ChatMessage] = []
        self.closed = False
        self.reading = threading.Event()
        self.may_read = threading.Event()
        self.may_read.set()

    def conversations(
        self, limit: int = 100, offset: int = 0, *, archived: bool = False, tag: str = ""
    ) -> tuple[Conversation, ...]:
        self.reading.set()
        self.may_read.wait()
        return super().conversations(limit, offset, archived=archived, tag=tag)

    def add_message(
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
        return self._keep(
            super().add_message(
                conversation_id,
                parent_id,
                role,
                text,
                reasoning=reasoning,
                status=status,
                model=model,
                name=name,
            )
        )

    def update_message(
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
        return self._keep(
            super().update_message(
                message_id,
                text=text,
                reasoning=reasoning,
                status=status,
                finish_reason=finish_reason,
                usage=usage,
                model=model,
            )
        )

    def close(self) -> None:
        self.closed = True
        super().close()

    def _keep(self, message: ChatMessage) -> ChatMessage:
        self.messages[message.id] = message
        self.history.append(message)
        return message
