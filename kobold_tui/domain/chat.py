"""A conversation: a tree of messages, of which one path is in view."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Literal, NewType

import msgspec

from kobold_tui.domain.generation import FinishReason, Message, Role, Usage

ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", int)
DeletionId = NewType("DeletionId", int)

MessageStatus = Literal["complete", "streaming", "interrupted"]
"""`interrupted`: the answer was cut off by a stop, a crash or a kill; its text is what had arrived."""


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One stored message; `parent_id` is None for the first. Times are seconds since the epoch.

    `depth` messages stand above it. `name` is who speaks, where names are told apart.
    """

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
    name: str = ""
    depth: int = 0

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
    tags: tuple[str, ...] = ()
    archived: bool = False


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of a message, the oldest first; `index` is the place of the one that was asked about."""

    ids: tuple[MessageId, ...]
    index: int

    @property
    def previous(self) -> MessageId | None:
        """The version before this one."""
        return self.ids[self.index - 1] if self.index else None

    @property
    def next(self) -> MessageId | None:
        """The version after this one."""
        return self.ids[self.index + 1] if self.index + 1 < len(self.ids) else None


class PathPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some messages of a path that follow one another, with the versions of each.

    `earlier` is the message above the first, from which the page before is read; None at the beginning.
    """

    messages: tuple[ChatMessage, ...] = ()
    versions: tuple[Versions, ...] = ()

    @property
    def earlier(self) -> MessageId | None:
        """The message with which the page before this one ends."""
        return self.messages[0].parent_id if self.messages else None


class OutlineNode(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a tree view shows it: the beginning of its text, without control characters."""

    id: MessageId
    parent_id: MessageId | None
    role: Role
    beginning: str
    depth: int
    status: MessageStatus
    in_view: bool


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    """A place that a search found; `message_id` is None where the title itself was found.

    `snippet` is text around the hit in pieces, each with whether it is what was searched for.
    """

    conversation_id: ConversationId
    message_id: MessageId | None
    title: str
    snippet: tuple[tuple[str, bool], ...]
    archived: bool
    role: Role | None = None
    created_at: float = 0.0


_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST_TITLE = 200
_LONGEST_TAG = 40
_MOST_TAGS = 32


def one_line(text: str, longest: int = _LONGEST_TITLE) -> str:
    """Return text as one line without control characters and marks that turn the writing direction."""
    kept = "".join(
        " " if character.isspace() else character
        for character in text[: 8 * longest]
        if character.isspace() or not (character in _BIDI_CONTROLS or _is_control(character))
    )
    return " ".join(kept.split())[:longest].rstrip()


def tags_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return tags that lists can show: one line each, none twice, no more than 32."""
    tags: dict[str, str] = {}
    for text in texts:
        if tag := one_line(text, _LONGEST_TAG):
            tags.setdefault(tag.casefold(), tag)
    return tuple(tags.values())[:_MOST_TAGS]


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"
