"""Conversations are trees of messages that survive crashes of the program that writes them."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kobold_tui.domain.chat import ConversationId, MessageId
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import Usage
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore
from kobold_tui.storage.paths import Paths


def test_a_conversation_is_stored_with_its_path_in_view(store: ConversationStore, paths: Paths) -> None:
    conversation = store.create_conversation("Hello", "Be brief.")
    question = store.add_message(conversation.id, None, "user", "Why?")
    answer = store.add_message(conversation.id, question.id, "assistant", "Because.", model="m")
    with ConversationStore(paths.database) as again:
        (stored,) = again.conversations()
        assert (stored.id, stored.title, stored.system_prompt) == (conversation.id, "Hello", "Be brief.")
        assert stored.head_id == answer.id
        assert again.path_to(answer.id) == (question, answer)
        assert again.message(answer.id).model == "m"


def test_answers_to_one_message_are_branches_of_the_tree(store: ConversationStore) -> None:
    conversation = store.create_conversation("t")
    question = store.add_message(conversation.id, None, "user", "q")
    first = store.add_message(conversation.id, question.id, "assistant", "a1")
    second = store.add_message(conversation.id, question.id, "assistant", "a2")
    assert store.children(question.id) == (first, second)
    assert store.roots(conversation.id) == (question,)
    assert store.path_to(second.id) == (question, second)
    assert store.conversation(conversation.id).head_id == second.id
    store.set_head(conversation.id, first.id)
    assert store.conversation(conversation.id).head_id == first.id
    store.set_head(conversation.id, None)
    assert store.conversation(conversation.id).head_id is None


def test_a_long_conversation_has_its_whole_path(store: ConversationStore) -> None:
    conversation = store.create_conversation("t")
    parent: MessageId | None = None
    for number in range(100):
        parent = store.add_message(conversation.id, parent, "user", str(number)).id
    assert parent is not None
    assert [message.text for message in store.path_to(parent)] == [str(number) for number in range(100)]


def test_an_answer_grows_and_keeps_what_is_not_said_again(store: ConversationStore) -> None:
    conversation = store.create_conversation("t")
    message = store.add_message(conversation.id, None, "assistant", "", status="streaming", model="m")
    store.update_message(message.id, text="Hel", reasoning="hm")
    usage = Usage(prompt_tokens=3, completion_tokens=2, tokens_per_second=1.5)
    done = store.update_message(
        message.id, text="Hello", status="complete", finish_reason="stop", usage=usage
    )
    assert done == store.message(message.id)
    assert (done.text, done.reasoning, done.status, done.model) == ("Hello", "hm", "complete", "m")
    assert (done.finish_reason, done.usage) == ("stop", usage)


def test_lists_show_the_conversation_used_last_first(paths: Paths) -> None:
    times = iter((1.0, 2.0, 3.0, 4.0))
    with ConversationStore(paths.database, clock=lambda: next(times)) as store:
        ids = [store.create_conversation(title).id for title in "abc"]
        store.add_message(ids[0], None, "user", "again")
        assert [conversation.id for conversation in store.conversations()] == [ids[0], ids[2], ids[1]]
        assert [conversation.id for conversation in store.conversations(1, 1)] == [ids[2]]
        assert store.conversations()[0].updated_at == 4.0


def test_conversations_are_renamed_and_deleted_with_their_messages(store: ConversationStore) -> None:
    conversation, other = store.create_conversation("old"), store.create_conversation("other")
    message = store.add_message(conversation.id, None, "user", "x")
    store.rename(conversation.id, "new")
    assert store.conversation(conversation.id).title == "new"
    store.delete(conversation.id)
    store.delete(conversation.id)
    assert [left.id for left in store.conversations()] == [other.id]
    with pytest.raises(KoboldError, match="message does not exist"):
        store.message(message.id)


def test_what_does_not_exist_is_told(store: ConversationStore) -> None:
    here, there = store.create_conversation("a"), store.create_conversation("b")
    foreign = store.add_message(there.id, None, "user", "x")
    nobody = ConversationId("nobody")
    for call in (
        lambda: store.conversation(nobody),
        lambda: store.rename(nobody, "x"),
        lambda: store.add_message(nobody, None, "user", "x"),
        lambda: store.add_message(here.id, foreign.id, "user", "x"),
        lambda: store.set_head(here.id, foreign.id),
        lambda: store.path_to(MessageId(999)),
        lambda: store.update_message(MessageId(999), text="x"),
    ):
        with pytest.raises(KoboldError, match="does not exist"):
            call()
    assert store.roots(here.id) == ()


def test_text_that_is_not_valid_is_stored_all_the_same(store: ConversationStore) -> None:
    conversation = store.create_conversation("bad \ud800")
    message = store.add_message(conversation.id, None, "user", "nul \0 half \udc80 ✓")
    assert store.message(message.id).text == "nul \0 half ? ✓"
    assert store.conversation(conversation.id).title == "bad ?"


def test_files_are_private(store: ConversationStore, paths: Paths) -> None:
    store.create_conversation("t")
    files = sorted(paths.data_dir.glob("conversations.db*"))
    assert len(files) > 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_store_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ConversationStore(IN_MEMORY) as store:
        conversation = store.create_conversation("t")
        message = store.add_message(conversation.id, None, "user", "x")
        assert store.path_to(message.id) == (message,)
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore
store = ConversationStore(Path(sys.argv[1]))
conversation = store.create_conversation("t")
message = store.add_message(conversation.id, None, "user", "question")
answer = store.add_message(conversation.id, message.id, "assistant", "", status="streaming")
text = ""
while True:
    text += "word "
    store.update_message(answer.id, text=text)
    print(len(text), flush=True)
"""


def writer(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)


def test_kill_9_loses_nothing_that_was_stored(paths: Paths) -> None:
    with writer(paths.database) as process:
        assert process.stdout is not None
        confirmed = [int(process.stdout.readline()) for _ in range(20)][-1]
        process.send_signal(signal.SIGKILL)
        process.wait()
    with ConversationStore(paths.database) as store:
        (conversation,) = store.conversations()
        assert conversation.head_id is not None
        question, answer = store.path_to(conversation.head_id)
        assert question.text == "question"
        assert answer.text.startswith("word ")
        assert len(answer.text) >= confirmed
        assert answer.status == "interrupted"


def test_an_answer_that_another_copy_still_writes_is_left_alone(paths: Paths) -> None:
    with writer(paths.database) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with ConversationStore(paths.database) as store:
            (conversation,) = store.conversations()
            assert conversation.head_id is not None
            assert store.message(conversation.head_id).status == "streaming"
        process.kill()
        process.wait()
    with ConversationStore(paths.database) as store:
        assert store.message(conversation.head_id).status == "interrupted"


def test_a_process_number_that_was_given_away_again_is_not_taken_for_the_writer(
    store: ConversationStore, paths: Paths
) -> None:
    conversation = store.create_conversation("t")
    message = store.add_message(conversation.id, None, "assistant", "x", status="streaming")
    with sqlite3.connect(paths.database) as database:
        (owner,) = database.execute("SELECT owner FROM message").fetchone()
        boot, pid, started = owner.split("/")
        assert int(pid) == os.getpid()
        database.execute("UPDATE message SET owner = ?", (f"{boot}/{pid}/{int(started) - 1}",))
    with ConversationStore(paths.database) as other:
        assert other.message(message.id).status == "interrupted"


OPENER = """
import sys
from pathlib import Path
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore
with ConversationStore(Path(sys.argv[1])) as store:
    store.create_conversation(sys.argv[2])
"""


def test_copies_that_start_at_once_share_a_new_file(paths: Paths) -> None:
    copies = [
        subprocess.Popen([sys.executable, "-c", OPENER, paths.database, str(number)]) for number in range(4)
    ]
    assert [copy.wait() for copy in copies] == [0] * 4
    with ConversationStore(paths.database) as store:
        assert sorted(conversation.title for conversation in store.conversations()) == ["0", "1", "2", "3"]
