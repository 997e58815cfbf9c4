"""A conversation of thousands of messages costs no more to look at than a short one."""

from __future__ import annotations

import pytest

from kobold_tui.domain.chat import ConversationId, MessageId
from kobold_tui.domain.story import Story, StoryMessage, chain
from kobold_tui.storage.conversations import ConversationStore

LONG = 5000


@pytest.fixture
def long_talk(store: ConversationStore) -> ConversationId:
    messages = tuple(StoryMessage(role="user", text=f"text {number}") for number in range(LONG))
    first_messages = tuple(StoryMessage(role="user", text="x") for _ in range(2000))
    store.add_story(Story(title="of other beginnings", messages=first_messages))
    return store.add_story(chain(messages, "long")).id


def steps_of(store: ConversationStore, message_id: MessageId) -> int:
    """Return how much SQLite works to read a page, in hundreds of its virtual machine's steps."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._database.set_progress_handler(count, 100)
    store.page(message_id, 50)
    store._database.set_progress_handler(None, 0)
    return steps


def test_a_page_of_a_long_conversation_costs_what_a_page_costs(
    store: ConversationStore, long_talk: ConversationId
) -> None:
    head = store.conversation(long_talk).head_id
    assert head is not None
    page = store.page(head, 50)
    assert [message.text for message in page.messages] == [
        f"text {number}" for number in range(LONG - 50, LONG)
    ]
    assert (page.messages[0].depth, len(page.versions)) == (LONG - 50, 50)
    assert page.earlier is not None
    assert store.page(page.earlier, 50).messages[-1].text == f"text {LONG - 51}"
    first = store.roots(long_talk)[0]
    assert store.page(first.id, 50).earlier is None
    fiftieth = store.path_to(page.earlier)[49]
    late, early = steps_of(store, head), steps_of(store, fiftieth.id)
    assert late <= 2 * early
    assert early <= 2 * late


def test_a_chain_of_thousands_is_deleted_restored_and_purged(
    store: ConversationStore, long_talk: ConversationId
) -> None:
    deletion = store.delete_message(store.roots(long_talk)[0].id)
    store.restore(deletion)
    assert store.conversation(long_talk).head_id is not None
    store.delete(long_talk)
    assert store.purge() == LONG
    assert [conversation.title for conversation in store.conversations()] == ["of other beginnings"]
