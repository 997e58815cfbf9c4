"""Message lists as OpenAI's chat interface has them: `[{"role", "content"}]`, bare or below `messages`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec

from kobold_tui.domain.generation import Role
from kobold_tui.domain.story import Story, StoryMessage, chain
from kobold_tui.storage.story_files.document import MAX_MESSAGES, Object, clean, text, unreadable

_ROLES = {**{role: role for role in get_args(Role)}, "developer": "system", "function": "tool"}


def is_message_list(value: Any) -> bool:
    """Whether a JSON value looks like a list of messages."""
    messages = value.get("messages") if isinstance(value, dict) else value
    return isinstance(messages, list) and bool(messages) and _is_message(messages[0])


def read_messages(value: Any, path: Path, title: str, line: int = 0) -> Story:
    """Return the story of a message list; a leading system message becomes the system prompt.

    Raises KoboldError with the number of the message that is none.
    """
    items = value["messages"] if isinstance(value, dict) else value
    messages = []
    for number, item in enumerate(items[:MAX_MESSAGES], 1):
        if not _is_message(item):
            place = f"line {line}, message {number}" if line else f"message {number}"
            raise unreadable(path, f"{place} has no role or no content")
        messages.append(_message(item))
    system = messages[0].text if messages[0].role == "system" else ""
    kept = tuple(messages[1:] if system else messages)
    named = text(value, "title") if isinstance(value, dict) else ""
    return chain(kept, named or title, system_prompt=system)


def write_messages(story: Story) -> bytes:
    """Return the path in view as `{"messages": […]}`, the system prompt first, on one line."""
    messages = [{"role": each.role, "content": each.text} for each in story.path]
    if story.system_prompt:
        messages.insert(0, {"role": "system", "content": story.system_prompt})
    return msgspec.json.encode({"messages": messages})


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(role := value.get("role"), str)
        and role in _ROLES
        and isinstance(value.get("content"), str | list | None)
    )


def _message(value: Object) -> StoryMessage:
    content = value.get("content")
    if isinstance(content, list):
        parts = [text(part, "text") for part in content if isinstance(part, dict)]
        content = "\n".join(part for part in parts if part)
    fields = {"role": _ROLES[value["role"]], "text": clean(content or ""), "name": text(value, "name")}
    fields["reasoning"] = text(value, "reasoning_content", "reasoning")
    return msgspec.convert(fields, StoryMessage)
