"""A conversation as Markdown to read; comments between the messages let it be read back.

A line of a message that looks like such a comment gets a backslash, which reading takes away again.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from kobold_tui.domain.story import Story, StoryMessage, chain
from kobold_tui.storage.story_files.document import unreadable

_MARK = re.compile(
    r"^<!-- kobold-tui: (system prompt|system|user|assistant|tool)(?: (\S.*))? -->$", re.MULTILINE
)
_LOOKS_LIKE_MARK = re.compile(r"^(\\*)(?=<!-- kobold-tui: )", re.MULTILINE)
_ESCAPED = re.compile(r"^\\(?=\\*<!-- kobold-tui: )", re.MULTILINE)
_HEADINGS = {
    "system prompt": "System",
    "system": "System",
    "user": "You",
    "assistant": "Answer",
    "tool": "Tool",
}


def is_markdown(text: str) -> bool:
    """Whether a text is a conversation that was exported as Markdown."""
    return _MARK.search(text) is not None


def read_markdown(text: str, path: Path) -> Story:
    """Return the story of an exported conversation. Raises KoboldError."""
    marks = list(_MARK.finditer(text))
    if not marks:
        raise unreadable(path, "it has no messages that were exported from a conversation")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    system, messages = "", []
    for mark, end in zip(marks, ends, strict=True):
        body = _body(text[mark.end() : end])
        if mark[1] == "system prompt":
            system = body
        else:
            fields = {"role": mark[1], "text": body, "name": mark[2] or ""}
            messages.append(msgspec.convert(fields, StoryMessage))
    title = re.match(r"# (.*)", text)
    return chain(tuple(messages), title[1] if title else path.stem, system_prompt=system)


def write_markdown(story: Story) -> bytes:
    """Return the path in view with a heading for each message."""
    parts = [f"# {story.title}\n\n"]
    if story.system_prompt:
        parts.append(_section("system prompt", "", story.system_prompt))
    parts += [_section(message.role, message.name, message.text) for message in story.path]
    return "".join(parts).encode("utf-8", "replace")


def _section(kind: str, name: str, text: str) -> str:
    shown = " ".join(name.replace("-->", "").split())
    mark = f"<!-- kobold-tui: {kind}{' ' * bool(shown)}{shown} -->"
    escaped = _LOOKS_LIKE_MARK.sub(r"\\\1", text)
    return f"{mark}\n## {shown or _HEADINGS[kind]}\n\n{escaped}\n\n"


def _body(section: str) -> str:
    """Return the text below the heading of a section, without the two line ends that close it."""
    heading = re.match(r"\n## .*\n\n?", section)
    body = section[heading.end() :] if heading else section.lstrip("\n")
    return _ESCAPED.sub("", body.removesuffix("\n").removesuffix("\n"))
