"""Conversations as the front ends use them: versions, answers that go on, search, files, one shared store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from memory_store import MemoryStore

from kobold_tui import bootstrap
from kobold_tui.domain.chat import ChatMessage
from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.generation import GenerateRequest, TextDelta
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.story import Story, StoryFormat, StorySettings
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.script import Script
from kobold_tui.services.chat import ChatService, ReplyRequest
from kobold_tui.services.conversations import ConversationsService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.storage.story_files.exchange import StoryFiles


class Bench:
    """Both services over one store and a fake engine."""

    def __init__(self, script: Script) -> None:
        self.store = MemoryStore()
        self.engine = FakeEngine(InstanceId("fake"), script)
        thread = OwnThread("store")
        self.chat = ChatService(lambda _: self.engine, lambda: self.store, thread)
        self.talks = ConversationsService(lambda: self.store, thread, StoryFiles(), OwnThread("files"))

    async def asked(self, text: str = "q") -> ChatMessage:
        """Post a question in a new conversation and have it answered; returns the question."""
        question = await self.chat.post(None, None, text)
        await self.answer(question)
        return question

    async def answer(
        self, question: ChatMessage, *, continues: ChatMessage | None = None, prefill: str = ""
    ) -> None:
        request = ReplyRequest(
            conversation_id=question.conversation_id,
            instance=self.engine.id,
            preset=Preset(name="p"),
            parent_id=question.id,
            continues=continues.id if continues else None,
            prefill=prefill,
        )
        async for event in self.chat.reply(request):
            if isinstance(event, TextDelta) and event.text == " two":
                self.chat.stop(question.conversation_id)

    async def view(self, question: ChatMessage) -> list[tuple[str, int, int]]:
        """Return text, number of this version and of all, of the messages in view."""
        page = await self.talks.newest_page(question.conversation_id)
        return [
            (message.text, versions.index + 1, len(versions.ids))
            for message, versions in zip(page.messages, page.versions, strict=True)
        ]

    @property
    def last_request(self) -> GenerateRequest:
        request = self.engine.history[-1]
        assert isinstance(request, GenerateRequest)
        return request


async def bench(reply: str = "one", hold_after: int | None = None) -> Bench:
    made = Bench(Script(reply=reply, hold_answer_after=hold_after))
    await made.engine.ensure_ready(LoadSpec(path="fake.gguf"))
    return made


async def test_another_answer_is_a_version_and_the_first_stays() -> None:
    made = await bench()
    question = await made.asked()
    await made.answer(question)
    assert await made.view(question) == [("q", 1, 1), ("one", 2, 2)]
    page = await made.talks.newest_page(question.conversation_id)
    previous = page.versions[1].previous
    assert previous is not None
    assert await made.talks.switch(previous) == previous
    assert await made.view(question) == [("q", 1, 1), ("one", 1, 2)]


async def test_an_answer_that_was_stopped_goes_on_in_its_place() -> None:
    made = await bench("one two three", hold_after=2)
    question = await made.asked()
    stopped = made.store.children(question.id)[0]
    assert (stopped.text, stopped.status) == ("one two", "interrupted")
    made.engine = FakeEngine(InstanceId("fake"), Script(reply=" and more"))
    await made.engine.ensure_ready(LoadSpec(path="fake.gguf"))
    await made.answer(question, continues=stopped)
    assert await made.view(question) == [("q", 1, 1), ("one two and more", 1, 1)]
    assert made.store.message(stopped.id).status == "complete"
    request = made.last_request
    assert ([m.content for m in request.messages], request.prefill) == (["q"], "one two")


async def test_the_beginning_of_an_answer_can_be_given() -> None:
    made = await bench()
    question = await made.chat.post(None, None, "q")
    await made.answer(question, prefill="Well, ")
    assert made.last_request.prefill == "Well, "
    assert await made.view(question) == [("q", 1, 1), ("Well, one", 1, 1)]


async def test_an_edited_question_is_answered_beside_the_old_one() -> None:
    made = await bench()
    question = await made.asked()
    edited = await made.talks.edit(question.id, "better q")
    assert await made.view(question) == [("better q", 2, 2)]
    await made.answer(edited)
    assert await made.view(question) == [("better q", 2, 2), ("one", 1, 1)]
    outline = await made.talks.outline(question.conversation_id)
    assert [(node.beginning, node.in_view) for node in outline] == [
        ("q", False),
        ("one", False),
        ("better q", True),
        ("one", True),
    ]


async def test_what_was_deleted_comes_back() -> None:
    made = await bench()
    question = await made.asked()
    deletion = await made.talks.delete_message(question.id)
    assert await made.view(question) == []
    await made.talks.restore(deletion)
    gone = await made.talks.delete(question.conversation_id)
    assert await made.talks.recent() == ()
    assert gone is not None
    assert await made.talks.restore(gone) == question.conversation_id
    assert await made.view(question) == [("q", 1, 1), ("one", 1, 1)]


async def test_the_list_is_kept_tidy_and_everything_is_found() -> None:
    made = await bench()
    question = await made.asked("Why do boats float?")
    identity = question.conversation_id
    assert (await made.talks.rename(identity, "Boats\x07")).title == "Boats"
    await made.talks.set_tags(identity, ["sea"])
    await made.talks.set_archived(identity, archived=True)
    assert await made.talks.recent() == ()
    assert [each.tags for each in await made.talks.recent(archived=True, tag="sea")] == [("sea",)]
    assert await made.talks.tags() == {"sea": 1}
    hits = await made.talks.search("float")
    assert [hit.message_id for hit in hits] == [question.id]
    await made.talks.set_settings(identity, StorySettings(memory="m"))
    await made.talks.set_system_prompt(identity, "s")
    assert (await made.talks.settings(identity)).memory == "m"
    assert (await made.talks.get(identity)).system_prompt == "s"


async def test_a_draft_is_kept_for_each_conversation() -> None:
    made = await bench()
    question = await made.asked()
    await made.talks.set_draft(None, "new")
    await made.talks.set_draft(question.conversation_id, "old")
    assert await made.talks.draft(None) == "new"
    assert await made.talks.draft(question.conversation_id) == "old"


async def test_a_conversation_leaves_as_a_file_and_comes_back(tmp_path: Path) -> None:
    made = await bench()
    question = await made.asked()
    await made.answer(question)
    path = await made.talks.export([question.conversation_id], tmp_path / "a.json", "json")
    (again,) = await made.talks.import_file(path)
    assert again.id != question.conversation_id
    assert again.head_id is not None
    assert (await made.talks.versions(again.head_id)).index == 1
    fork = await made.talks.fork(question.id, "fork")
    assert (fork.title, len(await made.talks.recent())) == ("fork", 3)
    with pytest.raises(UsageError, match="exists already"):
        await made.talks.export([fork.id], path, "json")


class HangingFiles:
    """Files on a disk that does not answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def read(self, path: Path, user_name: str = "") -> tuple[Story, ...]:
        self._loop.call_soon_threadsafe(self.asked.set)
        import threading

        threading.Event().wait()
        return ()

    def write(
        self, stories: Sequence[Story], path: Path, format_: StoryFormat, *, overwrite: bool = False
    ) -> Path:
        return path


async def test_a_file_on_a_disk_that_hangs_delays_no_answer() -> None:
    made = await bench()
    files = HangingFiles()
    talks = ConversationsService(lambda: made.store, OwnThread("store"), files, OwnThread("files"))
    reading = asyncio.ensure_future(talks.import_file(Path("x")))
    await files.asked.wait()
    assert await talks.recent() == ()
    await made.asked()
    reading.cancel()


async def test_what_is_kept_in_memory_is_one_store_for_replies_and_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOBOLD_TUI_HOME", str(tmp_path))
    async with bootstrap.open_services(private=True) as services:
        message = await services.chat.post(None, None, "hello")
        assert [each.id for each in await services.conversations.recent()] == [message.conversation_id]
        assert not services.paths.database.exists()


async def test_the_program_shares_one_store_and_purges_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOBOLD_TUI_HOME", str(tmp_path))
    async with bootstrap.open_services() as services:
        message = await services.chat.post(None, None, "hello")
        deletion = await services.conversations.delete(message.conversation_id)
        assert deletion is not None
    async with bootstrap.open_services() as services:
        await services.conversations.restore(deletion)
        await services.conversations.delete(message.conversation_id)
    monkeypatch.setattr("kobold_tui.bootstrap.conversations.KEEP_DELETED_SECONDS", -60.0)
    async with bootstrap.open_services() as services:
        with pytest.raises(KoboldError, match="does not exist"):
            await services.conversations.restore(deletion)
