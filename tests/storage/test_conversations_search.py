"""Everything that was ever written is found again, and what was being written is still there."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kobold_tui.domain.chat import ConversationId, SearchHit, one_line, tags_of
from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore
from kobold_tui.storage.paths import Paths


def found(store: ConversationStore, query: str) -> list[str]:
    """Return the found pieces of a search, joined for each hit."""
    return ["".join(text for text, hit in each.snippet if hit) for each in store.search(query)]


@pytest.fixture
def boats(store: ConversationStore) -> ConversationId:
    conversation = store.create_conversation("On boats")
    first = store.add_message(conversation.id, None, "user", "Why do wooden boats float on café water?")
    store.add_message(conversation.id, first.id, "assistant", "Displacement. Boats displace water.")
    return conversation.id


def test_a_hit_leads_to_its_message_with_the_words_marked(
    store: ConversationStore, boats: ConversationId
) -> None:
    (hit,) = store.search("wooden")
    assert store.message(hit.message_id or store.roots(boats)[0].id).role == hit.role == "user"
    assert (hit.conversation_id, hit.title, hit.archived) == (boats, "On boats", False)
    assert [text for text, marked in hit.snippet if marked] == ["wooden"]
    assert "".join(text for text, _ in hit.snippet).startswith("Why do wooden boats")


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ("displacem", ["Displacement"]),
        ("displacem water", []),
        ("displacem* water", ["Displacementwater"]),
        ("CAFE", ["café"]),
        ('"wooden boats"', ["wooden boats"]),
        ('"boats wooden"', []),
        ('"wooden boats', ["wooden boats"]),
        ("water wood", ["woodenwater"]),
        ("float NOT water", []),
        ("text:float", []),
        ("wood ", []),
        ("float -", ["float"]),
        ("float)", ["float"]),
        ("nothing", []),
        ('" - * ( ^ : ', []),
        ("", []),
    ],
)
def test_words_beginnings_and_phrases_are_found(
    store: ConversationStore, boats: ConversationId, query: str, hits: list[str]
) -> None:
    assert found(store, query) == hits


def test_titles_are_found_first_and_follow_a_new_name(
    store: ConversationStore, boats: ConversationId
) -> None:
    hits = store.search("boats")
    assert [hit.message_id is None for hit in hits] == [True, False, False]
    store.rename(boats, "Ships")
    assert [hit.message_id is None for hit in store.search("boats")] == [False, False]
    assert store.search("ships")[0].snippet == (("Ships", True),)


def test_pages_of_a_search_do_not_repeat(store: ConversationStore, boats: ConversationId) -> None:
    first = store.search("boats", 2)
    assert [hit.message_id is None for hit in first] == [True, False]
    (second,) = store.search("boats", 2, offset=1)
    assert second.message_id not in {hit.message_id for hit in first}


def test_an_answer_is_found_once_it_is_there_and_lost_when_it_is_deleted(
    store: ConversationStore, boats: ConversationId
) -> None:
    answer = store.add_message(boats, None, "assistant", "zebra", status="streaming")
    store.update_message(answer.id, text="zebra crossing")
    assert store.search("zebra") == ()
    store.update_message(answer.id, text="zebra crossings", status="complete")
    assert found(store, "crossings") == ["crossings"]
    deletion = store.delete_message(answer.id)
    assert store.search("zebra") == ()
    store.restore(deletion)
    assert found(store, "zebra") == ["zebra"]
    store.update_message(answer.id, text="horse")
    assert (found(store, "zebra"), found(store, "horse")) == ([], ["horse"])


def test_the_index_agrees_with_the_messages_after_everything(
    store: ConversationStore, boats: ConversationId, paths: Paths
) -> None:
    growing = store.add_message(boats, None, "assistant", "a", status="streaming")
    store.update_message(growing.id, text="b", status="interrupted")
    store.delete_message(store.edit(growing.id, "c").id)
    store.fork(growing.id)
    store.delete(boats)
    store.purge()
    with sqlite3.connect(paths.database) as database:
        database.execute("INSERT INTO message_search (message_search, rank) VALUES ('integrity-check', 1)")
    assert [hit.snippet for hit in store.search('"b"')] == [(("b", True),)]


_STORE = ConversationStore(IN_MEMORY)
_STORE.add_message(_STORE.create_conversation("title").id, None, "user", "some text \ufdd0 \x1b[31m red")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text() | st.text(st.sampled_from('"*^:(){}-+\0 aORNDE\ud800')))
def test_no_query_is_an_error(query: str) -> None:
    for hit in _STORE.search(query):
        assert isinstance(hit, SearchHit)


def test_control_characters_reach_no_list(store: ConversationStore) -> None:
    conversation = store.create_conversation("a\x1b]0;x\x07\n\u202eb\tc")
    assert store.conversation(conversation.id).title == "a]0;x b c"
    (hit,) = _STORE.search("red")
    assert all(text.isprintable() for text, _ in hit.snippet)


@given(st.text())
def test_a_title_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 200
    assert one_line(line) == line
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)


def test_tags_are_tidy_and_counted(store: ConversationStore, boats: ConversationId) -> None:
    store.set_tags(boats, [" sea ", "Sea", "", "work\x07"])
    store.set_tags(store.create_conversation("b").id, ["sea"])
    assert store.conversation(boats).tags == ("sea", "work")
    assert store.tags() == {"sea": 2, "work": 1}
    assert [each.id for each in store.conversations(tag="work")] == [boats]
    assert len(tags_of(str(number) for number in range(100))) == 32


def test_the_archive_is_apart_but_searched(store: ConversationStore, boats: ConversationId) -> None:
    store.set_archived(boats, archived=True)
    assert store.conversations() == ()
    assert [each.archived for each in store.conversations(archived=True)] == [True]
    assert store.search("wooden")[0].archived
    store.set_archived(boats, archived=False)
    assert len(store.conversations()) == 1


def test_drafts_survive_and_go_with_their_conversation(
    store: ConversationStore, boats: ConversationId, paths: Paths
) -> None:
    store.set_draft(None, "not begun")
    store.set_draft(boats, "half a quest")
    store.set_draft(boats, "half a question")
    with ConversationStore(paths.database) as again:
        assert (again.draft(None), again.draft(boats)) == ("not begun", "half a question")
    store.set_draft(None, "")
    assert store.draft(None) == ""
    store.delete(boats)
    store.purge()
    assert store.draft(boats) == ""


def test_nothing_is_set_for_a_conversation_that_is_gone(store: ConversationStore) -> None:
    nobody = ConversationId("nobody")
    for call in (
        lambda: store.set_tags(nobody, ["x"]),
        lambda: store.set_archived(nobody, archived=True),
        lambda: store.settings(nobody),
        lambda: store.story(nobody),
    ):
        with pytest.raises(KoboldError, match="does not exist"):
            call()
