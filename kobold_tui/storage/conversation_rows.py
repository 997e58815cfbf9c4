"""Rows of the conversation database: their columns, and the frozen values made of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kobold_tui.domain.chat import ChatMessage, Conversation
from kobold_tui.domain.generation import Usage

CONVERSATION_COLUMNS = ", ".join(Conversation.__struct_fields__)
MESSAGE_COLUMNS = ", ".join(f"message.{name}" for name in ChatMessage.__struct_fields__)

PATH_TO = f"""
    WITH RECURSIVE path (id, up) AS (
        SELECT id, parent_id FROM message WHERE id = ? AND deletion IS NULL
        UNION ALL
        SELECT message.id, message.parent_id FROM message JOIN path ON message.id = path.up
        LIMIT ?
    )
    SELECT {MESSAGE_COLUMNS} FROM message JOIN path ON message.id = path.id ORDER BY message.id
"""  # noqa: S608 - made of constants

BELOW = """
    WITH RECURSIVE below (id) AS (
        SELECT id FROM message WHERE id = :id AND deletion IS NULL
        UNION ALL
        SELECT message.id FROM message JOIN below ON message.parent_id = below.id
        WHERE message.deletion IS NULL
    )
"""
"""A message with everything under it, to begin a statement with."""

INSERT_CONVERSATION = """
    INSERT INTO conversation (id, title, system_prompt, created_at, updated_at)
    VALUES (:id, :title, :system_prompt, :created_at, :updated_at)
"""

INSERT_MESSAGE = """
    INSERT INTO message
        (conversation_id, parent_id, role, text, reasoning, status, finish_reason, usage, model, created_at,
         owner, name)
    VALUES
        (:conversation_id, :parent_id, :role, :text, :reasoning, :status, :finish_reason, :usage, :model,
         :created_at, :owner, :name)
"""

UPDATE_MESSAGE = """
    UPDATE message SET
        text = coalesce(:text, text),
        reasoning = coalesce(:reasoning, reasoning),
        status = coalesce(:status, status),
        finish_reason = coalesce(:finish_reason, finish_reason),
        usage = coalesce(:usage, usage),
        model = coalesce(:model, model),
        owner = CASE coalesce(:status, status) WHEN 'streaming' THEN :owner END
    WHERE id = :id
"""

IS_IN_CONVERSATION = """
    SELECT 1 FROM conversation WHERE id = :conversation AND deletion IS NULL
        AND (:message IS NULL OR EXISTS (SELECT 1 FROM message
            WHERE id = :message AND conversation_id = :conversation AND deletion IS NULL))
"""


def conversation_of(row: tuple[object, ...]) -> Conversation:
    """Return the value of a row of CONVERSATION_COLUMNS."""
    values = dict(zip(Conversation.__struct_fields__, row, strict=True))
    values["archived"] = bool(values["archived"])
    values["tags"] = msgspec.json.decode(str(values["tags"]))
    return msgspec.convert(values, Conversation)


def message_of(row: tuple[object, ...]) -> ChatMessage:
    """Return the value of a row of MESSAGE_COLUMNS."""
    values = dict(zip(ChatMessage.__struct_fields__, row, strict=True))
    if isinstance(usage := values["usage"], str):
        values["usage"] = msgspec.json.decode(usage, type=Usage)
    return msgspec.convert(values, ChatMessage)


def storable(values: Mapping[str, object]) -> dict[str, object]:
    """Return values with texts that UTF-8 can hold; halves of surrogate pairs become question marks."""
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in values.items()
    }
