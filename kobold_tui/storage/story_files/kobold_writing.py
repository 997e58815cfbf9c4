"""Writes conversations as saved stories of KoboldAI Lite.

A conversation that came from one is written over its own document: a part that still means the same stays
as it is, to the letter, and what has no counterpart here is never touched.
"""

from __future__ import annotations

import json
from typing import Any

from kobold_tui.domain.story import Story, StoryMessage, StorySettings
from kobold_tui.domain.world_info import WorldInfo, WorldInfoEntry
from kobold_tui.storage.story_files.document import Object, table, tables, text
from kobold_tui.storage.story_files.kobold_reading import (
    MODES,
    NAME_SEPARATOR,
    chunks_in,
    entry_of,
    settings_of,
    turn_format,
    world_info_of,
)
from kobold_tui.storage.story_files.kobold_turns import TurnFormat, chunks_of, turns_of

_MODE_NUMBERS = {mode: number for number, mode in MODES.items()} | {"raw": 1}
_NEW: Object = {
    "gamestarted": True,
    "prompt": "",
    "actions": [],
    "actions_metadata": {},
    "worldinfo": [],
    "wifolders_d": {},
    "wifolders_l": [],
}


def write_saved_story(story: Story) -> bytes:
    """Return the document of a story's path in view."""
    known: Object = json.loads(story.foreign.document) if story.foreign is not None else {}
    document = {**_NEW, **known} if not known else dict(known)
    _write_settings(document, story.settings, is_new=not known)
    saved = dict(table(document, "savedsettings"))
    if text(saved, "instruct_sysprompt") != story.system_prompt:
        document["savedsettings"] = {**saved, "instruct_sysprompt": story.system_prompt}
    _write_text(document, story.path)
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _write_settings(document: Object, settings: StorySettings, *, is_new: bool) -> None:
    old = settings_of(document)
    note, known = settings.authors_note, old.authors_note
    fields: tuple[tuple[str, object, object], ...] = (
        ("memory", settings.memory, old.memory),
        ("newlineaftermemory", settings.newline_after_memory, old.newline_after_memory),
        ("authorsnote", note.text, known.text),
        ("anotetemplate", note.template, known.template),
        ("anotestr", note.distance_characters, known.distance_characters),
        ("personal_notes", settings.notes, old.notes),
    )
    document.update({key: value for key, value, before in fields if is_new or value != before})
    _write_world_info(document, settings.world_info)
    saved: Object = {}
    if is_new or settings.mode != old.mode:
        saved["opmode"] = _MODE_NUMBERS[settings.mode]
    if settings.user_name != old.user_name:
        saved["chatname"] = settings.user_name
    if settings.answer_names != old.answer_names:
        saved["chatopponent"] = NAME_SEPARATOR.join(settings.answer_names)
    if saved:
        document["savedsettings"] = {**table(document, "savedsettings"), **saved}


def _write_world_info(document: Object, info: WorldInfo) -> None:
    old = world_info_of(document)
    if info.search_depth_characters != old.search_depth_characters:
        document["wisearchdepth"] = info.search_depth_characters
    if info.insertion != old.insertion:
        document["wiinsertlocation"] = "1" if info.insertion == "before_note" else "0"
    if info.entries != old.entries:
        raw = tables(document, "worldinfo")
        document["worldinfo"] = [
            _entry(entry, raw[place] if place < len(raw) else {}) for place, entry in enumerate(info.entries)
        ]


def _entry(entry: WorldInfoEntry, known: Object) -> Object:
    """Return an entry as Lite writes it, over the one that stood in its place where it is that one's heir."""
    if known and entry_of(known) == entry:
        return known
    is_heir = bool(known) and (entry_of(known).keys == entry.keys or entry_of(known).content == entry.content)
    return {
        **({"folder": None} if not is_heir else known),
        "key": ",".join(entry.keys),
        "keysecondary": ",".join(entry.secondary_keys),
        "keyanti": ",".join(entry.excluding_keys),
        "content": entry.content,
        "comment": entry.comment,
        "selective": entry.selective,
        "constant": entry.constant,
        "probability": entry.probability,
        "wigroup": entry.group,
        "widisabled": not entry.enabled,
    }


def _write_text(document: Object, path: tuple[StoryMessage, ...]) -> None:
    """Write the turns: after the chunks that are still right, or anew where an earlier turn has changed."""
    form = turn_format(document)
    turns = tuple(_bare(message) for message in path if message.text)
    kept = chunks_in(document)
    known = tuple(_bare(turn) for turn in turns_of(kept, form))
    if known == turns:
        return
    if known and turns[: len(known)] == known:
        chunks = kept + chunks_of(turns[len(known) :], form, known[-1])
        if tuple(_bare(turn) for turn in turns_of(chunks, form)) == turns:
            document["actions"] = chunks[1:]
            return
    _rewrite(document, turns, form)


def _rewrite(document: Object, turns: tuple[StoryMessage, ...], form: TurnFormat) -> None:
    prompt, *actions = chunks_of(turns, form) or [""]
    document.update(prompt=prompt, actions=actions, actions_metadata={}, gamestarted=True)


def _bare(message: Any) -> StoryMessage:
    return StoryMessage(role=message.role, text=message.text, name=message.name)
