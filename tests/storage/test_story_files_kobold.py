"""Saved stories of KoboldAI Lite come and go without loss; the ones here are constructed from its layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from constructed_stories import ENTRY, SAVED, SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st

from kobold_tui.domain.story import Mode, Story, StoryMessage, StorySettings, chain
from kobold_tui.storage.conversations import ConversationStore
from kobold_tui.storage.story_files.exchange import parse_stories, write_stories

PATH = Path("saved_story.json")


def read(document: dict[str, Any]) -> Story:
    (story,) = parse_stories(json.dumps(document).encode(), PATH)
    return story


def written(story: Story) -> Any:
    return json.loads(write_stories([story], "kobold"))


def said(story: Story) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in story.path]


TURNS = [
    ("assistant", "Once."),
    ("user", "Hello"),
    ("assistant", "Hi there"),
    ("user", "More"),
    ("assistant", "Yes\n"),
]


def test_everything_that_a_saved_story_holds_is_understood() -> None:
    story = read(SAVED)
    assert said(story) == TURNS
    assert (story.title, story.system_prompt) == ("saved story", "Sys")
    kept = story.settings
    assert (kept.mode, kept.memory, kept.notes) == ("instruct", "M ?", "P")
    assert (kept.user_name, kept.answer_names) == ("Al", ("Kim", "Bo"))
    note = kept.authors_note
    assert (note.text, note.template, note.distance_characters) == ("N", "[<|>]", 160)
    info = kept.world_info
    assert (info.search_depth_characters, info.insertion) == (512, "before_note")
    (entry,) = info.entries
    assert (entry.keys, entry.secondary_keys, entry.excluding_keys) == (("boat", "ship"), ("sea",), ("air",))
    assert (entry.probability, entry.group, entry.enabled, entry.selective) == (75, "g", False, True)


@pytest.mark.parametrize("opmode", [1, 2, 3, 4])
def test_a_story_that_nobody_changed_is_written_as_it_was(store: ConversationStore, opmode: int) -> None:
    document = {**SAVED, "savedsettings": {**SETTINGS, "opmode": opmode}}
    conversation = store.add_story(read(document))
    again = json.loads(write_stories([store.story(conversation.id)], "kobold").decode())
    assert again == {**document, "memory": "M ?"}


def test_a_story_that_went_on_keeps_its_parts_and_gets_new_ones() -> None:
    story = read(SAVED)
    more = (*story.path, StoryMessage(role="user", text="And?"), StoryMessage(role="assistant", text="End"))
    longer = chain(more, story.title, settings=story.settings, foreign=story.foreign, system_prompt="Sys")
    document = written(longer)
    assert document["actions"] == [*SAVED["actions"], "\n{{[INPUT]}}\nAnd?\n{{[OUTPUT]}}\n", "End"]
    for key in ("prompt", "actions_metadata", "altbranches", "unknown", "worldinfo", "savedsettings"):
        assert document[key] == SAVED[key]
    assert said(read(document)) == [*TURNS, ("user", "And?"), ("assistant", "End")]


def test_a_changed_turn_and_changed_settings_are_written_and_nothing_else() -> None:
    story = read(SAVED)
    changed = (msgspec.structs.replace(story.path[0], text="Twice."), *story.path[1:])
    entry = msgspec.structs.replace(story.settings.world_info.entries[0], content="It sinks.")
    info = msgspec.structs.replace(story.settings.world_info, entries=(entry,))
    kept = msgspec.structs.replace(story.settings, memory="New", world_info=info, mode="story")
    document = written(chain(changed, "t", settings=kept, foreign=story.foreign, system_prompt="Sys"))
    assert document["memory"] == "New"
    assert document["savedsettings"] == {**SETTINGS, "opmode": 1}
    assert document["worldinfo"][0] | {"content": ENTRY["content"], "key": ENTRY["key"]} == {
        **ENTRY,
        "probability": 75,
    }
    assert document["unknown"] == SAVED["unknown"]
    assert said(read(document))[0] == ("assistant", "Twice.")


@pytest.mark.parametrize(
    ("document", "turns"),
    [
        (
            {
                "prompt": "\nAl: Hey",
                "actions": ["\nKim: Yo\nBo: Ho"],
                "savedsettings": {**SETTINGS, "opmode": 3},
            },
            [("user", "Hey"), ("assistant", "Yo"), ("assistant", "Ho")],
        ),
        (
            {"prompt": "A cave.", "actions": ["\n\n> look\n\n", "Dark."], "savedsettings": {"opmode": 2}},
            [("assistant", "A cave."), ("user", "look"), ("assistant", "Dark.")],
        ),
        (
            {"prompt": "Once", "actions": [" upon", 5], "savedsettings": None},
            [("assistant", "Once"), ("assistant", " upon")],
        ),
        (
            {
                "prompt": "\n### Q:\nWhy?\n### A:\nSo.",
                "savedsettings": {
                    "opmode": 4,
                    "instruct_starttag": "\n### Q:\n",
                    "instruct_endtag": "\n### A:\n",
                },
            },
            [("user", "Why?"), ("assistant", "So.")],
        ),
        (
            {"prompt": "{{[SYSTEM]}}S{{[SYSTEM_END]}}{{[INPUT]}}Why?{{[INPUT_END]}}{{[OUTPUT]}}So."},
            [("system", "S"), ("user", "Why?"), ("assistant", "So.")],
        ),
    ],
)
def test_turns_are_told_apart_in_every_mode(document: dict[str, Any], turns: list[tuple[str, str]]) -> None:
    story = read(document)
    assert said(story) == turns
    assert {**document, **written(story)} == written(story) == document


WORDS = st.text("ab c.", min_size=1, max_size=8).map(str.strip).filter(bool)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["instruct", "chat", "story", "adventure"]),
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), WORDS), max_size=6),
)
def test_a_conversation_of_ours_is_read_back_turn_by_turn(mode: Mode, turns: list[tuple[Any, str]]) -> None:
    if mode == "adventure":  # which has no mark between two texts of the teller
        turns = [
            turn for place, turn in enumerate(turns) if not place or "user" in (turn[0], turns[place - 1][0])
        ]
    messages = tuple(StoryMessage(role=role, text=text) for role, text in turns)
    kept = StorySettings(mode=mode, memory="M")
    if mode == "chat":
        kept = msgspec.structs.replace(kept, user_name="Al", answer_names=("Kim",))
    again = read(written(chain(messages, "t", system_prompt="S", settings=kept)))
    expected = [("assistant", text) for _, text in turns] if mode == "story" else turns
    assert said(again) == [(role, text) for role, text in expected]
    assert (again.settings, again.system_prompt) == (kept, "S")
