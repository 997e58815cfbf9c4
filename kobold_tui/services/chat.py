"""One reply, for every front end: the user's message is stored first, then the answer as it grows.

At most one second of an answer is ever unstored, whether it ends, is stopped, or dies with its model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol, TypeVar

import msgspec

from kobold_tui.domain.chat import ChatMessage, Conversation, ConversationId, MessageId, MessageStatus
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import (
    Finished,
    FinishReason,
    GenerateRequest,
    Message,
    PromptProgress,
    Role,
    TextDelta,
    Usage,
)
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.preset import Preset
from kobold_tui.engine.protocol import Engine
from kobold_tui.services.answer import Answer
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.stopping import until

T = TypeVar("T")

STORE_EVERY_SECONDS = 1.0
TITLE_LENGTH = 60


class Store(Protocol):
    """Conversations on disk; every call may block and runs in the store's own thread."""

    def create_conversation(self, title: str, system_prompt: str = "") -> Conversation:
        """Start a conversation."""
        ...

    def conversations(self, limit: int = 100, offset: int = 0) -> tuple[Conversation, ...]:
        """Return conversations, the newest first."""
        ...

    def add_message(  # noqa: PLR0913 - one argument for each column
        self,
        conversation_id: ConversationId,
        parent_id: MessageId | None,
        role: Role,
        text: str,
        *,
        status: MessageStatus = "complete",
        model: str = "",
    ) -> ChatMessage:
        """Add a message below `parent_id` and make it the head."""
        ...

    def update_message(  # noqa: PLR0913 - one argument for each column
        self,
        message_id: MessageId,
        *,
        text: str,
        reasoning: str,
        status: MessageStatus,
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
    ) -> ChatMessage:
        """Store what an answer has become."""
        ...

    def path_to(self, message_id: MessageId) -> tuple[ChatMessage, ...]:
        """Return the messages from the first to this one."""
        ...

    def close(self) -> None:
        """End the use of the store."""
        ...


class ReplyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a reply of `instance` to `text`, which is stored below `parent_id`.

    Without a text it is a reply to the message `parent_id` itself: one more version where it has an answer.
    `continues` is an answer that is to go on in its place, from the text that it has. `prefill` is how a new
    answer begins. `raw` sends the last text as it is, without a template.
    """

    conversation_id: ConversationId
    instance: InstanceId
    preset: Preset
    text: str = ""
    parent_id: MessageId | None = None
    raw: bool = False
    continues: MessageId | None = None
    prefill: str = ""


class Stored(msgspec.Struct, frozen=True):
    """A message has been stored: the user's, then the empty answer, at the end the whole answer."""

    message: ChatMessage


ReplyEvent = Stored | PromptProgress | TextDelta | Finished


class ChatService(LoopBound):
    """Conversations and replies."""

    def __init__(
        self, engine_of: Callable[[InstanceId], Engine], open_store: Callable[[], Store], thread: OwnThread
    ) -> None:
        super().__init__()
        self._engine_of = engine_of
        self._open_store = open_store
        self._store: Store | None = None
        self._thread = thread
        self._stops: dict[ConversationId, asyncio.Event] = {}

    async def new_conversation(self, title: str, system_prompt: str = "") -> Conversation:
        """Start a conversation."""
        self.check_loop()
        return await self._call(lambda store: store.create_conversation(title, system_prompt))

    async def post(
        self, conversation_id: ConversationId | None, parent_id: MessageId | None, text: str
    ) -> ChatMessage:
        """Store a message of the user below `parent_id`; without a conversation it begins one."""
        self.check_loop()

        def store(store: Store) -> ChatMessage:
            into = conversation_id or store.create_conversation(title_of(text)).id
            return store.add_message(into, parent_id, "user", text)

        return await self._call(store)

    async def conversations(self, limit: int = 100) -> tuple[Conversation, ...]:
        """Return the newest conversations."""
        self.check_loop()
        return await self._call(lambda store: store.conversations(limit))

    async def messages(self, head_id: MessageId | None) -> tuple[ChatMessage, ...]:
        """Return the path that ends in `head_id`."""
        self.check_loop()
        return await self._call(lambda store: store.path_to(head_id)) if head_id is not None else ()

    def stop(self, conversation_id: ConversationId) -> None:
        """End the reply that is under way; what has arrived is kept."""
        self.check_loop()
        if event := self._stops.get(conversation_id):
            event.set()

    async def reply(self, request: ReplyRequest) -> AsyncIterator[ReplyEvent]:
        """Store the user's message, stream the answer and store it.

        Yields `Stored` for a new message and for the answer, the engine's events, and `Stored` with the
        finished answer last. When the model dies or refuses, the text so far is stored as interrupted,
        that is yielded too, and then KoboldError is raised.
        """
        self.check_loop()
        engine = self._engine_of(request.instance)
        stop = self._stops[request.conversation_id] = asyncio.Event()
        asked = request.parent_id
        if request.text:
            user = await self.post(request.conversation_id, request.parent_id, request.text)
            asked = user.id
            yield Stored(user)
        history = await self._history(request, asked)
        message = await self._begin(request, asked)
        answer = Answer(message)
        yield Stored(answer.message)
        failure: KoboldError | None = None
        try:
            async for event in until(engine.generate(_engine_request(request, history, message.text)), stop):
                answer.take(event)
                await self._store_sometimes(answer)
                yield event
            if not answer.finished:
                yield answer.cancel()
        except KoboldError as error:
            answer.fail()
            failure = error
        finally:
            if not answer.finished:
                answer.cancel()
            self._stops.pop(request.conversation_id, None)
            await asyncio.shield(self._store_answer(answer))
        yield Stored(answer.message)
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Close the store after what is under way in it."""
        if self._store is not None:
            await self._call(lambda store: store.close())

    async def _call(self, use: Callable[[Store], T]) -> T:
        """Use the store in its own thread; the first use opens it."""
        return await self._thread.call(self._use, use)

    def _use(self, use: Callable[[Store], T]) -> T:
        if self._store is None:
            self._store = self._open_store()
        return use(self._store)

    async def _history(self, request: ReplyRequest, asked: MessageId | None) -> tuple[ChatMessage, ...]:
        if request.continues is None:
            return await self.messages(asked)
        return (await self.messages(request.continues))[:-1]

    async def _begin(self, request: ReplyRequest, asked: MessageId | None) -> ChatMessage:
        def begin(store: Store) -> ChatMessage:
            if request.continues is None:
                return store.add_message(
                    request.conversation_id,
                    asked,
                    "assistant",
                    request.prefill,
                    status="streaming",
                    model=request.instance,
                )
            old = store.path_to(request.continues)[-1]
            return store.update_message(old.id, text=old.text, reasoning=old.reasoning, status="streaming")

        return await self._call(begin)

    async def _store_sometimes(self, answer: Answer) -> None:
        if time.monotonic() - answer.stored_at >= STORE_EVERY_SECONDS:
            await self._store_answer(answer)

    async def _store_answer(self, answer: Answer) -> None:
        answer.stored_at = time.monotonic()
        message = answer.message
        await self._call(
            lambda store: store.update_message(
                message.id,
                text=message.text,
                reasoning=message.reasoning,
                status=message.status,
                finish_reason=message.finish_reason,
                usage=message.usage,
            )
        )


def _engine_request(request: ReplyRequest, history: tuple[ChatMessage, ...], begun: str) -> GenerateRequest:
    chat = request.preset.chat
    common = GenerateRequest(
        sampling=request.preset.sampling,
        max_tokens=chat.max_tokens,
        stop=chat.stop,
        template_options=chat.template_options,
        prefill=begun,
    )
    if request.raw:
        return msgspec.structs.replace(common, prompt=history[-1].text if history else "")
    system = (Message(role="system", content=chat.system_prompt),) if chat.system_prompt else ()
    return msgspec.structs.replace(common, messages=system + alternating(history))


def title_of(text: str) -> str:
    """Return the title of a conversation that begins with `text`."""
    return " ".join(text.split())[:TITLE_LENGTH]


def alternating(history: Iterable[ChatMessage]) -> tuple[Message, ...]:
    """Return the turns a template accepts: empty answers left out, neighbours of one role joined."""
    turns: list[Message] = []
    for message in history:
        if not message.text:
            continue
        if turns and turns[-1].role == message.role:
            joined = f"{turns[-1].content}\n\n{message.text}"
            turns[-1] = msgspec.structs.replace(turns[-1], content=joined)
        else:
            turns.append(message.as_message)
    return tuple(turns)
