"""No file is more than a refusal in words: whatever stands in it, nothing crashes and no memory runs out."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from constructed_stories import SAVED, TAVERN, V1, V3
from hypothesis import given, settings
from hypothesis import strategies as st

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.story import StoryFormat, StoryMessage, StorySettings, chain
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore
from kobold_tui.storage.story_files import document, exchange
from kobold_tui.storage.story_files.exchange import StoryFiles, parse_stories, write_stories

PATH = Path("a.json")
OURS = chain(
    (StoryMessage(role="user", text="a"), StoryMessage(role="assistant", text="b")),
    "t",
    settings=StorySettings(memory="m"),
)
OPENAI = {"title": "t", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}
DOCUMENTS: list[Any] = [json.loads(write_stories([OURS], "json")), OPENAI, SAVED, V1, V3, TAVERN]
FORMATS: tuple[StoryFormat, ...] = ("json", "markdown", "openai", "kobold")
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | st.sampled_from(["9" * 50, "1e999", 10**30, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
STORE = ConversationStore(IN_MEMORY)


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """Return a document of a known format in which one value is another, or is missing."""
    whole = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    node = whole
    while True:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.integers(0, 3)) == 0:
            break
        node = node[key]
    if draw(st.booleans()) and isinstance(node, dict):
        del node[key]
    else:
        node[key] = draw(ANYTHING)
    return whole


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_a_document_with_a_wrong_value_is_read_or_refused(value: Any) -> None:
    lines = value if isinstance(value, list) else [value]
    try:
        found = parse_stories("\n".join(json.dumps(line) for line in lines).encode(), PATH)
    except KoboldError as error:
        assert error.message.startswith("a.json: ")  # noqa: PT017 - both outcomes are right
        return
    for story in found:
        again = STORE.story(STORE.add_story(story).id)
        for format_ in FORMATS:
            json_or_text = write_stories([again], format_).decode()
            assert format_ == "markdown" or json.loads(json_or_text, parse_constant=pytest.fail)


@settings(max_examples=150, deadline=None)
@given(st.binary() | st.binary().map(lambda data: b"\x89PNG\r\n\x1a\n" + data))
def test_no_bytes_are_more_than_a_refusal(content: bytes) -> None:
    with pytest.raises(KoboldError):
        parse_stories(content, PATH)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(document.MAX_BYTES + 1)
    with pytest.raises(KoboldError, match="larger than 32 MiB"):
        StoryFiles().read(path)


def test_there_is_a_bound_to_lines_and_swipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_MOST_LINES", 3)
    with pytest.raises(KoboldError, match="more than 3 lines"):
        parse_stories(b"{}\n" * 4, PATH)
    swipes = [{"name": "K", "mes": "shown", "swipes": ["x"] * 5000, "swipe_id": 4000}]
    (story,) = parse_stories(json.dumps(swipes[0]).encode(), Path("a.jsonl"))
    assert [message.text for message in story.messages] == ["shown"]


@pytest.mark.parametrize("depth", [90, 500, 900])
def test_a_saved_story_that_is_nested_deeply_is_refused_before_it_is_kept(depth: int) -> None:
    content = f'{{"prompt": "a", "deep": {"[" * depth}{"]" * depth}}}'.encode()
    if depth < 100:
        (story,) = parse_stories(content, PATH)
        assert json.loads(write_stories([story], "kobold")) == json.loads(content)
    else:
        with pytest.raises(KoboldError, match="nested too deeply"):
            parse_stories(content, PATH)


def test_a_text_full_of_tags_makes_no_more_messages_than_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kobold_tui.storage.story_files.kobold_turns.MAX_MESSAGES", 10)
    for opmode, text in ((4, "ab" * 100), (3, "\nUser: a" * 100), (2, "\n\n> go\n" * 100)):
        saved = {"prompt": text, "savedsettings": {"opmode": opmode, "instruct_starttag": "a"}}
        (story,) = parse_stories(json.dumps(saved).encode(), PATH)
        assert 10 <= len(story.messages) <= 21


def test_a_title_from_a_file_has_no_control_characters() -> None:
    story = msgspec.structs.replace(OURS, title="a\x1b]0;b\x07\n\u202ec", tags=("x\x1b",))
    conversation = STORE.add_story(parse_stories(write_stories([story], "json"), PATH)[0])
    assert (conversation.title, conversation.tags) == ("a]0;b c", ("x",))
