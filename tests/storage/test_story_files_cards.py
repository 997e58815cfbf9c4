"""Character cards of every specification are read, from JSON and from pictures; all are constructed here."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from constructed_stories import V1, V2, V3
from hypothesis import given, settings
from hypothesis import strategies as st

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.cards import parse_card, read_card
from kobold_tui.storage.conversations import ConversationStore
from kobold_tui.storage.story_files.exchange import parse_stories

PATH = Path("kim.png")


def encoded(card: Any) -> bytes:
    return base64.b64encode(json.dumps(card).encode())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    """Return a picture of one pixel with these chunks in it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def test_a_card_of_the_first_specification_is_read() -> None:
    card = parse_card(json.dumps(V1).encode(), PATH)
    assert (card.name, card.description, card.personality, card.scenario) == ("Kim", "D", "P", "S")
    assert (card.greetings, card.examples) == (("Hi {{user}}",), "E")


@pytest.mark.parametrize("value", [V2, V3])
def test_later_specifications_bring_greetings_and_a_lorebook(value: dict[str, Any]) -> None:
    card = parse_card(json.dumps(value).encode(), PATH)
    assert card.greetings == ("Hi {{user}}", "I am {{char}}.")
    assert (card.system_prompt, card.post_history, card.creator, card.creator_notes) == (
        "Sys",
        "Post",
        "C",
        "N",
    )
    assert (card.version, card.tags, card.nickname) == ("2", ("a", "b"), "K" if value is V3 else "")
    (entry,) = card.lorebook.entries
    assert (entry.keys, entry.secondary_keys, entry.content, entry.comment) == (
        ("boat",),
        ("sea",),
        "It floats.",
        "c",
    )
    assert (entry.selective, entry.constant, entry.enabled, entry.case_sensitive) == (True, True, False, True)
    assert (entry.order, entry.probability) == (7, 50)


TEXTS = {
    "tEXt": chunk(b"tEXt", b"chara\0" + encoded(V2)),
    "zTXt": chunk(b"zTXt", b"chara\0\0" + zlib.compress(encoded(V2))),
    "iTXt": chunk(b"iTXt", b"chara\0\0\0en\0t\0" + encoded(V2)),
    "compressed iTXt": chunk(b"iTXt", b"chara\0\1\0\0\0" + zlib.compress(encoded(V2))),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_picture_carries_a_card_in_any_kind_of_text(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "kim.png"
    path.write_bytes(png(chunk(b"tEXt", b"Software\0x"), TEXTS[kind]))
    assert read_card(path).system_prompt == "Sys"


def test_the_third_specification_wins_and_a_broken_one_does_not() -> None:
    second = chunk(b"tEXt", b"chara\0" + encoded(V2))
    assert parse_card(png(second, chunk(b"tEXt", b"ccv3\0" + encoded(V3))), PATH).nickname == "K"
    assert parse_card(png(second, chunk(b"tEXt", b"ccv3\0" + encoded([]))), PATH).system_prompt == "Sys"


BOMB = zlib.compress(b"A" * (40 << 20), 9)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(), "holds no character"),
        (png(chunk(b"zTXt", b"chara\0\0" + BOMB)), "larger than 16 MiB"),
        (png(chunk(b"iTXt", b"ccv3\0\1\0\0\0" + BOMB)), "larger than 16 MiB"),
        (png(chunk(b"zTXt", b"chara\0\0nothing")), "damaged"),
        (png(chunk(b"tEXt", b"chara\0A")), "damaged"),
        (png(chunk(b"tEXt", b"chara\0" + base64.b64encode(b"\xff"))), "not UTF-8"),
        (png(TEXTS["tEXt"])[:200], "ends inside a part"),
        (b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtabcd", "ends inside a part"),
    ],
)
def test_a_bad_picture_is_told_with_its_file(content: bytes, reason: str) -> None:
    with pytest.raises(KoboldError) as caught:
        parse_card(content, PATH)
    assert caught.value.message.startswith("kim.png: ")
    assert reason in caught.value.message


def test_a_conversation_begins_with_the_greetings_as_versions(store: ConversationStore) -> None:
    (story,) = parse_stories(png(chunk(b"tEXt", b"chara\0" + encoded(V2))), PATH, "Al")
    conversation = store.add_story(story)
    assert conversation.head_id is not None
    assert [message.text for message in store.roots(conversation.id)] == ["Hi Al", "I am Kim."]
    assert store.versions(conversation.head_id).index == 0
    kept = store.settings(conversation.id)
    assert kept.character is not None
    assert (kept.character.post_history, kept.answer_names) == ("Post", ("Kim",))
    assert kept.world_info.entries[0].keys == ("boat",)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"IDAT"]), st.binary(max_size=40)), max_size=4
    )
)
def test_no_picture_is_more_than_a_refusal(parts: list[tuple[bytes, bytes]]) -> None:
    content = png(*(chunk(kind, b"chara\0" + data) for kind, data in parts))
    with pytest.raises(KoboldError):
        parse_card(content, PATH)
