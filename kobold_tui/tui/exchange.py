"""The conversation in view: messages are stored as they are sent, and answered one at a time.

A message is in the store before anything else happens to it, so neither a missing model nor the end of the
program can lose it. What is sent while an answer runs is answered afterwards, all of it at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kobold_tui.domain.chat import ChatMessage, Conversation, ConversationId, MessageId
from kobold_tui.domain.instance import InstanceId
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.chat import ReplyRequest
from kobold_tui.services.launch import Launch
from kobold_tui.services.registry import Services
from kobold_tui.tui.streaming import ReplyStream, ReplyTarget, item_of


class Exchange:
    """Sends, answers and stops; `changed` is called whenever something about it is different."""

    def __init__(
        self,
        backend: BackendThread[Services],
        target: ReplyTarget,
        frame_seconds: float,
        changed: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._target = target
        self._frame_seconds = frame_seconds
        self._changed = changed
        self._order = asyncio.Lock()
        self._conversation: ConversationId | None = None
        self._head: MessageId | None = None
        self.unanswered = 0
        self.replying = False
        self.progress = ""

    async def post(self, text: str) -> None:
        """Store a message and show it. Raises KoboldError where it cannot be stored."""
        async with self._order:
            conversation, head = self._conversation, self._head
            message = await self._backend.call(
                lambda services: services.chat.post(conversation, head, text), finish=True
            )
            self._conversation, self._head = message.conversation_id, message.id
            self._target.append(item_of(message))
            self.unanswered += 1
            self._changed()

    async def answer(self, launch: Launch, instance: InstanceId) -> None:
        """Stream the answer to what has been sent. Raises KoboldError when the model dies or refuses."""
        self.replying, self.progress = True, ""
        self._changed()
        await self._order.acquire()
        ordered = True
        stream = ReplyStream(self._target)
        request = self._request(launch, instance)
        self.unanswered = 0
        try:
            async for batch in self._backend.stream(
                lambda services: services.chat.reply(request), self._frame_seconds
            ):
                stream.take(batch)
                if ordered and stream.head is not None:
                    self._head = stream.head.id
                    self._order.release()
                    ordered = False
                if stream.progress != self.progress:
                    self.progress = stream.progress
                    self._changed()
        finally:
            if ordered:
                self._order.release()
            self.replying = False
            self._changed()

    async def stop(self) -> None:
        """End the answer that is under way; what has arrived is kept."""
        conversation = self._conversation
        if conversation is None:
            return

        async def stop(services: Services) -> None:
            services.chat.stop(conversation)

        await self._backend.call(stop)

    async def open(self, conversation: Conversation) -> tuple[ChatMessage, ...]:
        """Go to another conversation and return its messages."""
        head = conversation.head_id
        messages = await self._backend.call(lambda services: services.chat.messages(head))
        self._conversation, self._head, self.unanswered = conversation.id, head, 0
        return messages

    def clear(self) -> None:
        """Begin a new conversation; the present one stays stored."""
        self._conversation, self._head, self.unanswered = None, None, 0

    def _request(self, launch: Launch, instance: InstanceId) -> ReplyRequest:
        assert self._conversation is not None  # noqa: S101 - an answer follows a message
        return ReplyRequest(
            conversation_id=self._conversation,
            instance=instance,
            preset=launch.preset,
            parent_id=self._head,
            raw=not launch.model.chat_template and launch.preset.chat.template == "auto",
        )
