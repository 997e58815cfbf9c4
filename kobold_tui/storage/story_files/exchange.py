"""Tells the formats of conversation files apart, reads them all, and writes those that can be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kobold_tui.domain.character import Character, with_names
from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.story import Story, StoryFormat, StoryMessage, StorySettings
from kobold_tui.storage.card_png import is_png
from kobold_tui.storage.cards import character_of, is_card, parse_card
from kobold_tui.storage.story_files.document import decode, parse, read_bytes, unreadable
from kobold_tui.storage.story_files.kobold_reading import is_saved_story, read_saved_story
from kobold_tui.storage.story_files.kobold_writing import write_saved_story
from kobold_tui.storage.story_files.markdown import is_markdown, read_markdown, write_markdown
from kobold_tui.storage.story_files.native import is_native, read_native, write_lines, write_native
from kobold_tui.storage.story_files.openai import is_message_list, read_messages, write_messages
from kobold_tui.storage.story_files.silly_tavern import is_chat, read_chat
from kobold_tui.storage.toml_file import write_atomically

_MOST_LINES = 100_000
_DEFAULT_USER = "User"
_WRITERS: dict[StoryFormat, Callable[[Story], bytes]] = {
    "json": write_native,
    "markdown": write_markdown,
    "openai": write_messages,
    "kobold": write_saved_story,
}


class StoryFiles:
    """Conversations in files; what they are is told by what is in them, not by their names."""

    def read(self, path: Path, user_name: str = "") -> tuple[Story, ...]:
        """Return all conversations of a file. Raises KoboldError, which names the file and the place.

        A character card becomes a conversation that begins with its greetings, as versions of one another;
        `user_name` stands for `{{user}}` in them.
        """
        path = path.expanduser()
        return parse_stories(read_bytes(path), path, user_name)

    def write(
        self, stories: Sequence[Story], path: Path, format_: StoryFormat, *, overwrite: bool = False
    ) -> Path:
        """Write conversations to a file, several to JSONL and OpenAI's lists alone; returns its path.

        Raises UsageError for what a format cannot hold and for a file that exists, unless `overwrite` is
        set; KoboldError where it cannot be written.
        """
        path = path.expanduser()
        content = write_stories(stories, format_)
        if path.exists() and not overwrite:
            raise UsageError(
                "The file exists", f"{path} exists already.", "Name another one, or overwrite it."
            )
        write_atomically(path, content)
        return path


def write_stories(stories: Sequence[Story], format_: StoryFormat) -> bytes:
    """Return the content of a file of a format. Raises UsageError for what it cannot hold."""
    if format_ == "jsonl":
        return write_lines(stories)
    if format_ == "openai" and len(stories) > 1:
        return b"".join(write_messages(story) + b"\n" for story in stories)
    if format_ not in _WRITERS:
        raise UsageError(
            "Cannot be written", f"The format {format_} can be read only.", f"Use {', '.join(_WRITERS)}."
        )
    if len(stories) != 1:
        raise UsageError(
            "One conversation", f"A file of the format {format_} holds one conversation.", "Use jsonl."
        )
    return _WRITERS[format_](stories[0])


def parse_stories(content: bytes, path: Path, user_name: str = "") -> tuple[Story, ...]:
    """Return all conversations that the content of a file holds. Raises KoboldError, which names `path`."""
    if is_png(content):
        return (begun_with(parse_card(content, path), user_name),)
    text = decode(content, path)
    if is_markdown(text):
        return (read_markdown(text, path),)
    first, _, rest = text.lstrip().partition("\n")
    if not first:
        raise unreadable(path, "it is empty")
    is_lines = path.suffix.lower() == ".jsonl" or (
        rest and not rest.isspace() and _is_whole_object(first, path)
    )
    if is_lines:
        return _parse_lines(text, path)
    return (_story_of(parse(text, path), path, user_name),)


def begun_with(character: Character, user_name: str = "") -> Story:
    """Return a conversation with a character that begins with its greetings, the first one in view."""
    user = user_name or _DEFAULT_USER
    greetings = tuple(
        StoryMessage(
            role="assistant",
            text=with_names(greeting, character.spoken_name, user),
            name=character.spoken_name,
        )
        for greeting in character.greetings
    )
    settings = StorySettings(
        character=character,
        world_info=character.lorebook,
        user_name=user_name,
        answer_names=(character.spoken_name,),
    )
    head = 0 if greetings else None
    return Story(title=character.name, messages=greetings, head=head, tags=character.tags, settings=settings)


def _story_of(value: Any, path: Path, user_name: str, line: int = 0) -> Story:
    if is_native(value):
        return read_native(value, path, line)
    if is_card(value):
        return begun_with(character_of(value, path), user_name)
    if is_message_list(value):
        return read_messages(value, path, path.stem, line)
    if is_saved_story(value):
        return read_saved_story(value, path)
    place = f"line {line}: " if line else ""
    raise unreadable(path, f"{place}it is no conversation or character of a known format")


def _is_whole_object(line: str, path: Path) -> bool:
    """Whether the first line is a JSON object by itself, as the first of many is."""
    if not line.lstrip().startswith("{"):
        return False
    try:
        return isinstance(parse(line, path), dict)
    except KoboldError:
        return False


def _parse_lines(text: str, path: Path) -> tuple[Story, ...]:
    lines = text.split("\n", _MOST_LINES)
    if len(lines) > _MOST_LINES:
        raise unreadable(path, f"it has more than {_MOST_LINES} lines")
    values = [(number, parse(line, path, number)) for number, line in enumerate(lines, 1) if line.strip()]
    if is_chat(values[0][1]):
        return (read_chat(values, path),)
    return tuple(_story_of(value, path, "", number) for number, value in values)
