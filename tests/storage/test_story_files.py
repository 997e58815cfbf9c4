"""Conversations leave as files and come back; files of other programs are read with everything in them.

All files of other programs here are constructed from their formats, none was written by those programs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from constructed_stories import TAVERN
from hypothesis import given, settings
from hypothesis import strategies as st

from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.story import Story, StoryFormat, StoryMessage, StorySettings, chain
from kobold_tui.storage.conversations import ConversationStore
from kobold_tui.storage.story_files.exchange import StoryFiles, parse_stories, write_stories

PATH = Path("talk.json")
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
MESSAGE = st.builds(
    StoryMessage,
    role=st.sampled_from(["user", "assistant", "system", "tool"]),
    text=TEXT,
    name=TEXT,
    reasoning=TEXT,
    status=st.sampled_from(["complete", "interrupted"]),
    created_at=st.floats(0, 1e10),
)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Return any tree with any head."""
    messages = draw(st.lists(MESSAGE, max_size=6))
    parents = [
        draw(st.none() | st.integers(0, place - 1)) if place else None for place in range(len(messages))
    ]
    linked = tuple(
        msgspec.structs.replace(message, parent=parent)
        for message, parent in zip(messages, parents, strict=True)
    )
    head = draw(st.none() | st.integers(0, len(linked) - 1)) if linked else None
    return Story(
        title=draw(TEXT),
        messages=linked,
        head=head,
        system_prompt=draw(TEXT),
        settings=StorySettings(memory=draw(TEXT)),
    )


def talk() -> Story:
    """Return a conversation with two versions of an answer."""
    messages = (
        StoryMessage(role="user", text="Why?\n\n# No heading\n"),
        StoryMessage(role="assistant", text="Old.", parent=0),
        StoryMessage(
            role="assistant", text="<!-- kobold-tui: user -->\n\\<!-- kobold-tui: user -->", parent=0
        ),
    )
    return Story(title="A talk", messages=messages, head=2, system_prompt="Be brief.", tags=("x",))


@settings(max_examples=60, deadline=None)
@given(stories(), st.booleans())
def test_our_own_file_brings_the_whole_tree_back(story: Story, lines: bool) -> None:
    content = write_stories([story] * (2 if lines else 1), "jsonl" if lines else "json")
    path = Path("a.jsonl" if lines else "a.json")
    assert parse_stories(content, path) == (story,) * (2 if lines else 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40), max_size=4))
def test_markdown_brings_the_texts_in_view_back(texts: list[str]) -> None:
    story = chain(tuple(StoryMessage(role="user", text=each) for each in texts), "T", system_prompt="S")
    (again,) = parse_stories(write_stories([story], "markdown"), PATH)
    assert [message.text for message in again.path] == texts
    assert (again.title, again.system_prompt) == ("T", "S")


def test_markdown_reads_well_and_keeps_what_looks_like_its_marks() -> None:
    content = write_stories([talk()], "markdown").decode()
    assert content.startswith("# A talk\n\n<!-- kobold-tui: system prompt -->\n## System\n\nBe brief.\n\n")
    assert "Old." not in content
    (again,) = parse_stories(content.encode(), PATH)
    assert [message.text for message in again.path] == [message.text for message in talk().path]


def test_message_lists_come_and_go() -> None:
    content = write_stories([talk(), talk()], "openai")
    assert json.loads(content.splitlines()[0])["messages"][0] == {"role": "system", "content": "Be brief."}
    again = parse_stories(content, Path("two.jsonl"))
    assert [story.system_prompt for story in again] == ["Be brief."] * 2
    assert [message.text for message in again[1].path] == [message.text for message in talk().path]


def test_a_bare_message_list_with_parts_is_read() -> None:
    content = json.dumps(
        [
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url"}]},
            {"role": "assistant", "content": None, "reasoning_content": "hm"},
        ]
    )
    (story,) = parse_stories(content.encode(), PATH)
    assert [(each.role, each.text, each.reasoning) for each in story.path] == [
        ("user", "Look", ""),
        ("assistant", "", "hm"),
    ]
    assert story.title == "talk"


def lines_of(values: list[Any]) -> bytes:
    return "\n".join(json.dumps(value) for value in values).encode()


@pytest.mark.parametrize("name", ["chat.jsonl", "chat.txt"])
def test_a_chat_of_silly_tavern_keeps_its_swipes_as_versions(store: ConversationStore, name: str) -> None:
    (story,) = parse_stories(lines_of(TAVERN), Path(name))
    assert [(each.role, each.name, each.text) for each in story.path] == [
        ("assistant", "Kim", "Hi"),
        ("user", "Al", "Hey"),
        ("assistant", "Kim", "So?"),
    ]
    assert (story.title, story.settings.user_name, story.settings.authors_note.text) == ("Kim", "Al", "N")
    assert story.path[1].created_at == 1_700_000_000.0
    assert (story.path[2].reasoning, story.path[2].model) == ("r", "m")
    conversation = store.add_story(story)
    first = store.roots(conversation.id)
    assert [message.text for message in first] == ["Hello", "Hi"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "it is empty"),
        (b"\xff\xfe", "line 1 is not UTF-8"),
        (b"\n{]", "line 2, column 2"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "a number is wrong"),
        (b'{"prompt": "a", "b": 1e999}', "a number is wrong"),
        (b"{}", "no conversation or character"),
        (b"5", "no conversation or character"),
        (b'[{"role": "user", "content": "a"}, 5]', "message 2 has no role"),
        (b'{"format": "kobold-tui conversation", "version": 9}', "of format 9"),
        (
            b'{"format": "kobold-tui conversation", "version": 1, "conversation": {"title": "t", "head": 3}}',
            "its head is message 4",
        ),
        (
            b'{"format": "kobold-tui conversation", "version": 1, "conversation": {"title": 5}}',
            "$.title",
        ),
        (
            json.dumps(
                {
                    "format": "kobold-tui conversation",
                    "version": 1,
                    "conversation": {
                        "title": "t",
                        "settings": {"authors_note": {"distance_characters": 10**30}},
                    },
                }
            ).encode(),
            "distance_characters",
        ),
        (b'{"prompt": "a", "file_version": 2, "actions": {}}', "KoboldAI United"),
        (b'{"spec": "chara_card_v2", "data": {"name": " "}}', "the character has no name"),
        (lines_of([*TAVERN[:2], {"name": "x"}]), "line 3 is no message"),
        (lines_of([TAVERN[0]]) + b"\n{", "line 2, column 2"),
    ],
)
def test_what_is_wrong_is_told_with_the_file_and_the_place(content: bytes, place: str) -> None:
    with pytest.raises(KoboldError) as caught:
        parse_stories(content, PATH)
    assert caught.value.message.startswith("talk.json: ")
    assert place in caught.value.message
    assert caught.value.hint


def test_files_are_written_whole_and_never_over_others_unasked(tmp_path: Path) -> None:
    files, path = StoryFiles(), tmp_path / "a.json"
    assert files.write([talk()], path, "json") == path
    with pytest.raises(UsageError, match="exists already"):
        files.write([talk()], path, "json")
    files.write([talk()], path, "kobold", overwrite=True)
    assert "prompt" in json.loads(path.read_bytes())
    with pytest.raises(KoboldError, match="No such file"):
        files.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("format_", "count", "reason"), [("json", 2, "one conversation"), ("card", 1, "read only")]
)
def test_what_a_format_cannot_hold_is_refused(format_: StoryFormat, count: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        write_stories([talk()] * count, format_)
