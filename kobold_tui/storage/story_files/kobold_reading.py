"""Reads the saved stories of KoboldAI Lite (`saved_story.json`), which have no version of their own.

A document counts as one where `prompt` is no null or `savedsettings` is there, and `scenarioVersion` is not.
The whole of it is kept beside what is understood, so that writing it back loses nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kobold_tui.domain.story import (
    NOTE_TEMPLATE,
    AuthorsNote,
    ForeignDocument,
    Mode,
    Story,
    StorySettings,
    chain,
)
from kobold_tui.domain.world_info import WorldInfo, WorldInfoEntry
from kobold_tui.storage.story_files.document import (
    MAX_MESSAGES,
    Object,
    clean,
    flag,
    is_deeper_than,
    table,
    tables,
    text,
    texts,
    unreadable,
    whole,
)
from kobold_tui.storage.story_files.kobold_turns import INPUT, OUTPUT, SYSTEM, TurnFormat, turns_of

MODES: dict[int, Mode] = {1: "story", 2: "adventure", 3: "chat", 4: "instruct"}
"""By the number that Lite keeps as `opmode`."""
NAME_SEPARATOR = "||$||"
_MOST_NAMES = 100
_MOST_LEVELS = 100
_TAGS = (
    ("instruct_starttag", INPUT),
    ("instruct_endtag", OUTPUT),
    ("instruct_systag", SYSTEM),
    ("instruct_starttag_end", "{{[INPUT_END]}}"),
    ("instruct_endtag_end", "{{[OUTPUT_END]}}"),
    ("instruct_systag_end", "{{[SYSTEM_END]}}"),
)


def is_saved_story(value: Any) -> bool:
    """Whether a JSON value is a saved story of KoboldAI Lite's."""
    if not isinstance(value, dict) or "scenarioVersion" in value:
        return False
    return isinstance(value.get("prompt"), str) or isinstance(value.get("savedsettings"), dict)


def read_saved_story(value: Object, path: Path) -> Story:
    """Return the story of a document. Raises KoboldError."""
    if "file_version" in value:
        raise unreadable(path, "it is a save of KoboldAI United; open it in KoboldAI Lite and save it there")
    if is_deeper_than(value, _MOST_LEVELS):
        raise unreadable(path, "values are nested too deeply")
    chunks = chunks_in(value)
    if len(chunks) > MAX_MESSAGES:
        raise unreadable(path, f"it has more than {MAX_MESSAGES} parts")
    saved = table(value, "savedsettings")
    return chain(
        turns_of(chunks, turn_format(value)),
        path.stem.replace("_", " "),
        system_prompt=text(saved, "instruct_sysprompt"),
        settings=settings_of(value),
        foreign=ForeignDocument(format="kobold", document=json.dumps(value, separators=(",", ":"))),
    )


def chunks_in(value: Object) -> list[str]:
    """Return the chunks of the text: the prompt, then the actions."""
    actions = value.get("actions")
    items = [value.get("prompt"), *(actions if isinstance(actions, list) else [])]
    return [clean(item) for item in items if isinstance(item, str)]


def turn_format(value: Object) -> TurnFormat:
    """Return what tells the turns of a document apart."""
    saved = table(value, "savedsettings")
    tags = [(text(saved, key), placeholder) for key, placeholder in _TAGS]
    return TurnFormat(
        mode=_mode(value),
        tags=tuple(sorted(((tag, to) for tag, to in tags if tag.strip()), key=lambda pair: -len(pair[0]))),
        user_name=text(saved, "chatname") or "User",
        answer_names=_answer_names(saved) or ("KoboldAI",),
    )


def settings_of(value: Object) -> StorySettings:
    """Return what surrounds the text of a document."""
    saved = table(value, "savedsettings")
    return StorySettings(
        mode=_mode(value),
        memory=text(value, "memory"),
        newline_after_memory=flag(value, "newlineaftermemory", default=True),
        authors_note=AuthorsNote(
            text=text(value, "authorsnote"),
            template=text(value, "anotetemplate") or NOTE_TEMPLATE,
            distance_characters=whole(value, "anotestr", 320),
        ),
        world_info=world_info_of(value),
        user_name=text(saved, "chatname"),
        answer_names=_answer_names(saved),
        notes=text(value, "personal_notes"),
    )


def world_info_of(value: Object) -> WorldInfo:
    """Return the world info of a document."""
    return WorldInfo(
        entries=tuple(entry_of(each) for each in tables(value, "worldinfo")),
        search_depth_characters=whole(value, "wisearchdepth", 0),
        insertion="before_note" if whole(value, "wiinsertlocation", 0) == 1 else "after_memory",
    )


def entry_of(entry: Object) -> WorldInfoEntry:
    """Return one entry of Lite's world info."""
    return WorldInfoEntry(
        content=text(entry, "content"),
        keys=texts(entry, "key"),
        secondary_keys=texts(entry, "keysecondary"),
        excluding_keys=texts(entry, "keyanti"),
        comment=text(entry, "comment"),
        group=text(entry, "wigroup"),
        selective=flag(entry, "selective"),
        constant=flag(entry, "constant"),
        enabled=not flag(entry, "widisabled"),
        probability=whole(entry, "probability", 100, 0, 100),
    )


def _mode(value: Object) -> Mode:
    saved = table(value, "savedsettings")
    if (mode := MODES.get(whole(saved, "opmode", 0))) is not None:
        return mode
    return "instruct" if any(INPUT in chunk for chunk in chunks_in(value)) else "story"


def _answer_names(saved: Object) -> tuple[str, ...]:
    names = text(saved, "chatopponent").split(NAME_SEPARATOR, _MOST_NAMES)[:_MOST_NAMES]
    return tuple(name for name in names if name)
