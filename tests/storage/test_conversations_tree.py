"""Conversations are real trees: versions, ways through them, and deleting that can be taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec
import pytest

from kobold_tui.domain.chat import ChatMessage, MessageId
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.story import Story, StoryMessage, StorySettings
from kobold_tui.storage.conversations import ConversationStore
from kobold_tui.storage.paths import Paths


class Talk:
    """A conversation of two questions and two answers, and what of it is in view."""

    def __init__(self, store: ConversationStore) -> None:
        self.store = store
        self.id = store.create_conversation("Talk", "Be brief.").id
        self.q1 = store.add_message(self.id, None, "user", "q1")
        self.a1 = store.add_message(self.id, self.q1.id, "assistant", "a1", model="m", name="Kim")
        self.q2 = store.add_message(self.id, self.a1.id, "user", "q2")
        self.a2 = store.add_message(self.id, self.q2.id, "assistant", "a2")

    @property
    def view(self) -> list[str]:
        head = self.store.conversation(self.id).head_id
        return [] if head is None else texts(self.store.path_to(head))


def texts(messages: Sequence[ChatMessage]) -> list[str]:
    return [message.text for message in messages]


@pytest.fixture
def talk(store: ConversationStore) -> Talk:
    return Talk(store)


def test_an_edited_message_is_a_new_version_and_the_old_one_stays(talk: Talk) -> None:
    edited = talk.store.edit(talk.a1.id, "better")
    assert (edited.parent_id, edited.role, edited.model, edited.name) == (
        talk.q1.id,
        "assistant",
        "m",
        "Kim",
    )
    assert talk.view == ["q1", "better"]
    assert texts(talk.store.path_to(talk.a2.id)) == ["q1", "a1", "q2", "a2"]
    versions = talk.store.versions(edited.id)
    assert (versions.ids, versions.index) == ((talk.a1.id, edited.id), 1)
    assert (versions.previous, versions.next) == (talk.a1.id, None)


def test_the_first_message_has_versions_of_its_own_conversation_alone(talk: Talk) -> None:
    other = talk.store.create_conversation("other")
    talk.store.add_message(other.id, None, "user", "foreign")
    edited = talk.store.edit(talk.q1.id, "Q1")
    assert talk.store.versions(talk.q1.id).ids == (talk.q1.id, edited.id)
    assert talk.view == ["Q1"]


def test_switching_to_a_version_shows_the_newest_that_follows_it(talk: Talk) -> None:
    talk.store.edit(talk.a1.id, "better")
    third = talk.store.edit(talk.a2.id, "a2 again")
    talk.store.switch(talk.store.versions(talk.a1.id).ids[1])
    assert talk.view == ["q1", "better"]
    assert talk.store.switch(talk.a1.id) == third.id
    assert talk.view == ["q1", "a1", "q2", "a2 again"]


def test_a_deleted_branch_goes_with_all_below_it_and_comes_back(talk: Talk) -> None:
    better = talk.store.edit(talk.a1.id, "better")
    talk.store.switch(talk.a1.id)
    deletion = talk.store.delete_message(talk.a1.id)
    assert talk.view == ["q1", "better"]
    assert talk.store.versions(better.id).ids == (better.id,)
    assert talk.store.children(talk.q1.id) == (better,)
    for lost in (talk.a1, talk.q2, talk.a2):
        with pytest.raises(KoboldError, match="does not exist"):
            talk.store.message(lost.id)
    assert talk.store.restore(deletion) == talk.id
    assert talk.view == ["q1", "a1", "q2", "a2"]
    assert talk.store.versions(better.id).ids == (talk.a1.id, better.id)


def test_without_another_version_the_view_ends_above_what_was_deleted(talk: Talk) -> None:
    talk.store.delete_message(talk.q2.id)
    assert talk.view == ["q1", "a1"]
    talk.store.delete_message(talk.q1.id)
    assert talk.view == []
    assert talk.store.roots(talk.id) == ()


def test_where_a_version_is_deleted_the_one_before_it_comes_into_view(talk: Talk) -> None:
    middle = talk.store.edit(talk.a2.id, "middle")
    talk.store.edit(talk.a2.id, "last")
    talk.store.switch(middle.id)
    talk.store.delete_message(middle.id)
    assert talk.view[-1] == "a2"
    talk.store.delete_message(talk.a2.id)
    assert talk.view[-1] == "last"


def test_deleting_what_is_not_in_view_leaves_the_view(talk: Talk) -> None:
    better = talk.store.edit(talk.a1.id, "better")
    deletion = talk.store.delete_message(talk.a1.id)
    assert talk.view == ["q1", "better"]
    talk.store.delete_message(better.id)
    talk.store.restore(deletion)
    assert talk.view == ["q1"]
    assert [node.beginning for node in talk.store.outline(talk.id)] == ["q1", "a1", "q2", "a2"]


def test_what_hangs_on_a_deleted_part_comes_back_after_it(talk: Talk) -> None:
    below = talk.store.delete_message(talk.q2.id)
    above = talk.store.delete_message(talk.a1.id)
    with pytest.raises(KoboldError, match="does not exist"):
        talk.store.restore(below)
    talk.store.restore(above)
    assert talk.view == ["q1", "a1"]
    talk.store.restore(below)
    assert talk.view == ["q1", "a1", "q2", "a2"]


def test_a_deleted_conversation_comes_back_until_it_is_purged(talk: Talk) -> None:
    branch = talk.store.delete_message(talk.a2.id)
    deletion = talk.store.delete(talk.id)
    assert deletion is not None
    assert talk.store.delete(talk.id) is None
    assert talk.store.conversations() == ()
    assert talk.store.search("q1") == talk.store.search("Talk") == ()
    talk.store.restore(deletion)
    assert talk.view == ["q1", "a1", "q2"]
    talk.store.restore(branch)
    assert talk.view == ["q1", "a1", "q2", "a2"]
    assert talk.store.delete(talk.id) is not None
    assert talk.store.purge() == 4
    with pytest.raises(KoboldError, match="deletion does not exist"):
        talk.store.restore(deletion)


def test_only_what_was_deleted_long_ago_is_purged(paths: Paths) -> None:
    now = [100.0]
    with ConversationStore(paths.database, clock=lambda: now[0]) as store:
        talk = Talk(store)
        old = store.delete_message(talk.a2.id)
        now[0] = 200.0
        new = store.delete_message(talk.q2.id)
        assert store.purge(150.0) == 1
        with pytest.raises(KoboldError, match="does not exist"):
            store.restore(old)
        store.restore(new)
        assert talk.view == ["q1", "a1", "q2"]


def test_an_answer_that_is_deleted_while_it_grows_is_whole_when_it_comes_back(talk: Talk) -> None:
    answer = talk.store.add_message(talk.id, talk.a2.id, "assistant", "", status="streaming")
    deletion = talk.store.delete_message(answer.id)
    talk.store.update_message(answer.id, text="all of it", status="complete")
    talk.store.restore(deletion)
    assert talk.view[-1] == "all of it"


def test_a_branch_becomes_a_conversation_of_its_own(talk: Talk) -> None:
    talk.store.set_tags(talk.id, ["x"])
    talk.store.set_settings(talk.id, StorySettings(mode="story", memory="m"))
    talk.store.edit(talk.a1.id, "better")
    fork = talk.store.fork(talk.q2.id, "Fork")
    assert (fork.title, fork.system_prompt, fork.tags) == ("Fork", "Be brief.", ("x",))
    assert fork.head_id is not None
    path = talk.store.path_to(fork.head_id)
    assert [(each.text, each.model, each.depth) for each in path] == [
        ("q1", "", 0),
        ("a1", "m", 1),
        ("q2", "", 2),
    ]
    assert talk.store.settings(fork.id).memory == "m"
    talk.store.purge()
    talk.store.delete(fork.id)
    assert talk.view == ["q1", "better"]


def test_the_outline_shows_the_tree_with_the_path_in_view(talk: Talk) -> None:
    talk.store.edit(talk.a1.id, "be\x1b[2J\n  tter")
    nodes = talk.store.outline(talk.id)
    assert [(node.beginning, node.depth, node.in_view) for node in nodes] == [
        ("q1", 0, True),
        ("a1", 1, False),
        ("q2", 2, False),
        ("a2", 3, False),
        ("be[2J tter", 1, True),
    ]
    assert talk.store.outline(talk.id, after=talk.q2.id, limit=1) == nodes[3:4]


def test_a_story_comes_back_as_it_was_stored(store: ConversationStore) -> None:
    messages = (
        StoryMessage(role="user", text="a", name="Al"),
        StoryMessage(role="assistant", text="b", parent=0, reasoning="r", model="m"),
        StoryMessage(role="assistant", text="c", parent=0, status="interrupted", finish_reason="cancelled"),
        StoryMessage(role="user", text="other root"),
    )
    story = Story(title="T", messages=messages, head=1, tags=("x",), settings=StorySettings(memory="m"))
    again = store.story(store.add_story(story).id)
    cleared = tuple(msgspec.structs.replace(each, created_at=0.0) for each in again.messages)
    assert msgspec.structs.replace(again, messages=cleared, created_at=0.0) == story


@pytest.mark.parametrize(
    "story",
    [
        Story(title="T", messages=(StoryMessage(role="user", text="", parent=0),)),
        Story(title="T", head=0),
    ],
)
def test_a_story_whose_tree_is_broken_is_refused_whole(store: ConversationStore, story: Story) -> None:
    with pytest.raises(KoboldError, match="T: "):
        store.add_story(story)
    assert store.conversations() == ()


def test_a_conversation_of_the_first_form_is_brought_up_to_date(paths: Paths) -> None:
    from kobold_tui.storage.migrations import MIGRATIONS, migrate

    old = sqlite3.connect(paths.database, isolation_level=None)
    migrate(old, paths.database, MIGRATIONS[:1])
    old.execute("INSERT INTO conversation VALUES ('c', 'Old Title', '', NULL, 1, 1)")
    for number, parent, status in ((1, None, "complete"), (2, 1, "complete"), (3, 2, "streaming")):
        old.execute(
            "INSERT INTO message (id, conversation_id, parent_id, role, text, status, created_at)"
            " VALUES (?, 'c', ?, 'user', ?, ?, 1)",
            (number, parent, f"precious{number}", status),
        )
    old.close()
    with ConversationStore(paths.database) as store:
        assert [message.depth for message in store.path_to(MessageId(3))] == [0, 1, 2]
        assert store.message(MessageId(3)).status == "interrupted"
        for word in ("title", "precious1", "precious3"):
            assert len(store.search(word)) == 1
        store._database.execute(
            "INSERT INTO message_search (message_search, rank) VALUES ('integrity-check', 1)"
        )
        store.update_message(MessageId(3), text="changed")
        assert store.search("precious3") == ()
    copy = paths.database.with_name("conversations.db.before-2")
    with sqlite3.connect(copy) as before:
        assert before.execute("SELECT count(*) FROM message").fetchone() == (3,)
