"""A whole conversation as one value: what files of other programs hold, and what surrounds its messages."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kobold_tui.domain.character import Character
from kobold_tui.domain.chat import MessageStatus
from kobold_tui.domain.generation import FinishReason, Role, Usage
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.domain.world_info import WorldInfo

Mode = Literal["instruct", "chat", "story", "adventure", "raw"]
"""How text is exchanged: by the model's template, as a script with names, as one growing text, as actions
and what comes of them, or as it is."""

StoryFormat = Literal["json", "jsonl", "markdown", "openai", "kobold", "sillytavern", "card"]
"""The formats of files; `sillytavern` and `card` can be read only."""

NOTE_TEMPLATE = "[Author's note: <|>]"


class AuthorsNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reminder inside the text; `<|>` in the template stands for it.

    It stands `distance_characters` before the end of the text (KoboldAI Lite: weak 480, medium 320,
    strong 160, immediate 0).
    """

    text: str = ""
    template: str = NOTE_TEMPLATE
    distance_characters: Annotated[int, Meta(ge=0)] = 320


class StorySettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What belongs to a conversation beside its messages; `sampling` None is the preset's."""

    mode: Mode = "instruct"
    memory: str = ""
    newline_after_memory: bool = True
    authors_note: AuthorsNote = AuthorsNote()
    world_info: WorldInfo = WorldInfo()
    character: Character | None = None
    user_name: str = ""
    answer_names: tuple[str, ...] = ()
    notes: Annotated[str, Meta(description="For the person alone; no model sees them.")] = ""
    sampling: SamplingOptions | None = None


class ForeignDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The file that a conversation came from, as JSON: writing it back keeps what has no field here."""

    format: Literal["kobold"]
    document: str


class StoryMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a tree; `parent` is the place of the one above it in the list, None for a first one."""

    role: Role
    text: str
    parent: Annotated[int, Meta(ge=0)] | None = None
    name: str = ""
    reasoning: str = ""
    status: MessageStatus = "complete"
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    model: str = ""
    created_at: float = 0.0


class Story(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation with its whole tree; a message stands after the one above it.

    `head` is the place of the last message in view, None where nothing is. Times are seconds since the epoch.
    """

    title: str
    messages: tuple[StoryMessage, ...] = ()
    head: Annotated[int, Meta(ge=0)] | None = None
    system_prompt: str = ""
    tags: tuple[str, ...] = ()
    settings: StorySettings = StorySettings()
    created_at: float = 0.0
    foreign: ForeignDocument | None = None

    @property
    def path(self) -> tuple[StoryMessage, ...]:
        """The messages in view, from the first to the head."""
        path: list[StoryMessage] = []
        place = self.head
        while place is not None:
            path.append(self.messages[place])
            place = path[-1].parent
        return tuple(reversed(path))


def check_tree(story: Story) -> str:
    """Return what is wrong with the places in a story's tree, nothing where it is sound."""
    for place, message in enumerate(story.messages):
        if message.parent is not None and message.parent >= place:
            return f"message {place + 1} does not stand after the one above it"
    if story.head is not None and story.head >= len(story.messages):
        return f"its head is message {story.head + 1}, but there are {len(story.messages)}"
    return ""


def chain(messages: tuple[StoryMessage, ...], title: str, **fields: object) -> Story:
    """Return a story whose messages follow one another."""
    linked = tuple(
        msgspec.structs.replace(message, parent=place - 1 if place else None)
        for place, message in enumerate(messages)
    )
    story = Story(title=title, messages=linked, head=len(linked) - 1 if linked else None)
    return msgspec.structs.replace(story, **fields)
