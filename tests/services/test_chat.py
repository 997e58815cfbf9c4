"""A reply is stored before it is sent, while it grows and however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from memory_store import MemoryStore

from kobold_tui.domain.chat import ChatMessage, Conversation, MessageId
from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.generation import Finished, GenerateRequest, Message, Role, TextDelta
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.preset import ChatOptions, Preset
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.script import Fault, Script
from kobold_tui.services import chat as chat_module
from kobold_tui.services.chat import ChatService, ReplyEvent, ReplyRequest, Stored, alternating
from kobold_tui.services.own_thread import OwnThread


class Bench:
    """A chat service over a fake engine and a store in memory."""

    def __init__(self, script: Script) -> None:
        self.engine = FakeEngine(InstanceId("fake"), script)
        self.store = MemoryStore()
        self.chat = ChatService(lambda _: self.engine, lambda: self.store, OwnThread("store"))
        self.conversation = self.store.create_conversation("Test")

    def reply(
        self, text: str, preset: Preset | None = None, parent: MessageId | None = None
    ) -> AsyncIterator[ReplyEvent]:
        request = ReplyRequest(
            conversation_id=self.conversation.id,
            instance=self.engine.id,
            text=text,
            preset=preset or Preset(name="test"),
            parent_id=parent,
        )
        return self.chat.reply(request)

    @property
    def answer(self) -> ChatMessage:
        return list(self.store.messages.values())[-1]


async def bench(script: Script | None = None) -> Bench:
    made = Bench(script or Script(reply="one two three"))
    await made.engine.ensure_ready(LoadSpec(path="fake.gguf"))
    return made


async def test_the_message_and_the_whole_answer_are_stored() -> None:
    made = await bench()
    events = [event async for event in made.reply("hello")]
    stored = [event.message for event in events if isinstance(event, Stored)]
    assert [(m.role, m.text, m.status) for m in stored] == [
        ("user", "hello", "complete"),
        ("assistant", "", "streaming"),
        ("assistant", "one two three", "complete"),
    ]
    assert made.answer.finish_reason == "stop"
    assert made.answer.model == "fake"
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "one two three"


async def test_the_message_is_stored_before_the_engine_is_asked() -> None:
    made = await bench()
    reply = made.reply("hello")
    await anext(reply)
    assert made.store.history[0].text == "hello"
    assert not any(isinstance(entry, GenerateRequest) for entry in made.engine.history)


async def test_the_model_sees_the_system_prompt_and_the_path() -> None:
    made = await bench()
    async for _ in made.reply("first"):
        pass
    preset = Preset(name="test", chat=ChatOptions(system_prompt="Be brief.", max_tokens=7, stop=("END",)))
    async for _ in made.reply("second", preset, made.answer.id):
        pass
    request = made.engine.history[-1]
    assert isinstance(request, GenerateRequest)
    assert [(m.role, m.content) for m in request.messages] == [
        ("system", "Be brief."),
        ("user", "first"),
        ("assistant", "one two three"),
        ("user", "second"),
    ]
    assert (request.max_tokens, request.stop) == (7, ("END",))


async def test_a_stopped_answer_keeps_what_had_arrived() -> None:
    made = await bench(Script(reply="one two three", hold_answer_after=2))
    events: list[ReplyEvent] = []
    async for event in made.reply("hello"):
        events.append(event)
        if isinstance(event, TextDelta) and event.text == " two":
            made.chat.stop(made.conversation.id)
    assert made.answer.text == "one two"
    assert (made.answer.status, made.answer.finish_reason) == ("interrupted", "cancelled")
    assert [event.reason for event in events if isinstance(event, Finished)] == ["cancelled"]


async def test_a_dying_model_leaves_its_text_and_says_why() -> None:
    made = await bench(Script(reply="one two three", at_answer=Fault(kind="abort"), after_tokens=2))
    seen: list[ReplyEvent] = []

    async def read() -> None:
        async for event in made.reply("hello"):
            seen.append(event)  # noqa: PERF401 - an extension would lose all of them with the error

    with pytest.raises(EngineError):
        await read()
    assert isinstance(seen[-1], Stored)
    assert (made.answer.text, made.answer.status, made.answer.finish_reason) == (
        "one two",
        "interrupted",
        "error",
    )


async def test_a_reader_that_goes_away_stores_what_had_arrived() -> None:
    made = await bench(Script(reply="one two three", hold_answer_after=1))

    arrived = asyncio.Event()

    async def read() -> None:
        async for event in made.reply("hello"):
            if isinstance(event, TextDelta):
                arrived.set()

    task = asyncio.create_task(read())
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (made.answer.text, made.answer.status) == ("one", "interrupted")


async def test_the_answer_is_stored_while_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_module, "STORE_EVERY_SECONDS", 0.0)
    made = await bench()
    async for _ in made.reply("hello"):
        pass
    texts = [message.text for message in made.store.history if message.role == "assistant"]
    assert texts[:2] == ["", "one"]
    assert texts[-1] == "one two three"
    assert len(texts) > 3


async def test_a_refusal_of_the_engine_is_told_in_its_own_words() -> None:
    made = await bench(Script(refuse_answer=Failure(title="No template", message="The model has none.")))
    with pytest.raises(EngineError, match="The model has none"):
        async for _ in made.reply("hello"):
            pass
    assert made.answer.status == "interrupted"


async def test_a_posted_message_begins_a_conversation_and_is_answered_on_its_own() -> None:
    made = await bench()
    message = await made.chat.post(None, None, "  What is\n a boat?  ")
    [conversation] = [each for each in await made.chat.conversations() if each.id == message.conversation_id]
    assert conversation.title == "What is a boat?"
    request = ReplyRequest(
        conversation_id=message.conversation_id,
        instance=made.engine.id,
        preset=Preset(name="p"),
        parent_id=message.id,
    )
    stored = [event.message async for event in made.chat.reply(request) if isinstance(event, Stored)]
    assert [(each.role, each.parent_id) for each in stored] == [("assistant", message.id)] * 2


async def test_raw_text_goes_to_the_model_as_it_is() -> None:
    made = await bench()
    request = ReplyRequest(
        conversation_id=made.conversation.id,
        instance=made.engine.id,
        text="Once",
        preset=Preset(name="p"),
        raw=True,
    )
    async for _ in made.chat.reply(request):
        pass
    sent = made.engine.history[-1]
    assert isinstance(sent, GenerateRequest)
    assert (sent.prompt, sent.messages) == ("Once", ())


def test_neighbours_of_one_role_are_joined_and_empty_answers_left_out() -> None:
    conversation = Conversation(id=MemoryStore().create_conversation("t").id, title="t")

    def message(number: int, role: Role, text: str) -> ChatMessage:
        return ChatMessage(
            id=MessageId(number),
            conversation_id=conversation.id,
            parent_id=None,
            role=role,
            text=text,
        )

    history = [message(1, "user", "a"), message(2, "assistant", ""), message(3, "user", "b")]
    assert alternating(history) == (Message(role="user", content="a\n\nb"),)
