"""A conversation: a tree of messages, of which one path is in view."""

from __future__ import annotations

from typing import Literal, NewType

import msgspec

from kobold_tui.domain.generation import FinishReason, Message, Role, Usage

ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", int)

MessageStatus = Literal["complete", "streaming", "interrupted"]
"""`interrupted`: the answer was cut off by a stop, a crash or a kill; its text is what had arrived."""


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One stored message; `parent_id` is None for the first. Times are seconds since the epoch."""

    id: MessageId
    conversation_id: ConversationId
    parent_id: MessageId | None
    role: Role
    text: str
    reasoning: str = ""
    status: MessageStatus = "complete"
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    model: str = ""
    created_at: float = 0.0

    @property
    def as_message(self) -> Message:
        """What the template sees of it: the text without the reasoning."""
        return Message(role=self.role, content=self.text)


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as lists show it; `head_id` is the last message of the path in view."""

    id: ConversationId
    title: str
    head_id: MessageId | None = None
    system_prompt: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
