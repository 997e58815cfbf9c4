"""This program's own file: one JSON document a conversation with its whole tree; JSONL has one a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.story import Story, check_tree
from kobold_tui.storage.story_files.document import Object, unreadable

MARK = "kobold-tui conversation"
VERSION = 1


def is_native(value: Any) -> bool:
    """Whether a JSON value is a conversation of this program."""
    return isinstance(value, dict) and value.get("format") == MARK


def read_native(value: Object, path: Path, line: int = 0) -> Story:
    """Return the story of a document. Raises KoboldError with the place of what is wrong."""
    place = f"line {line}: " if line else ""
    if value.get("version") != VERSION:
        reason = f"{place}it is of format {value.get('version')!r:.20}, this program knows {VERSION}"
        raise unreadable(path, reason)
    try:
        story = msgspec.convert(value.get("conversation"), Story, strict=True)
    except msgspec.ValidationError as error:
        raise unreadable(path, f"{place}{error}") from None
    if problem := check_tree(story):
        raise unreadable(path, f"{place}{problem}")
    return story


def write_native(story: Story, *, one_line: bool = False) -> bytes:
    """Return the document of a story, indented unless it is to be one line."""
    encoded = msgspec.json.encode({"format": MARK, "version": VERSION, "conversation": story})
    return encoded if one_line else msgspec.json.format(encoded, indent=2)


def write_lines(stories: Iterable[Story]) -> bytes:
    """Return one document a line."""
    return b"".join(write_native(story, one_line=True) + b"\n" for story in stories)
