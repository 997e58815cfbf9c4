"""Switching between real models while somebody chats: nothing is lost, nothing stays behind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from memory_store import MemoryStore

from kobold_tui.domain.chat import ConversationId, MessageId
from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import InstanceId, LoadSpec, Ready
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.preset import ChatOptions, Preset
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.process import ProcessEngine
from kobold_tui.services.chat import ChatService, ReplyRequest
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.switching import NoRoomError, SwitchingService

PRESET = Preset(name="x", sampling=SamplingOptions(temperature=0), chat=ChatOptions(max_tokens=12))
OPTIONS = LoadOptions(n_ctx=8192, n_threads=1, n_gpu_layers=0)
MOST_GROWTH_BYTES = 24 * 1024 * 1024
"""What a hundred switches may add to this process; a leak of one transcript or connection adds more."""


class Room:
    """Room for one model, or for as many as anybody wants."""

    def __init__(self, *, crowded: bool) -> None:
        self.crowded = crowded

    async def claim(
        self, instance_id: InstanceId, _spec: LoadSpec, *, leaving: InstanceId | None = None
    ) -> MemoryEstimate | None:
        if self.crowded and leaving is None:
            raise NoRoomError("No room", f"{instance_id} does not fit.")
        return None

    async def loaded(self, _instance_id: InstanceId) -> None:
        """Nothing is reserved."""

    async def release(self, _instance_id: InstanceId) -> None:
        """Nothing is reserved."""


class Chatting:
    """A conversation that goes on over changing models."""

    def __init__(self, specs: tuple[LoadSpec, ...]) -> None:
        self.store = MemoryStore()
        self.specs = itertools.cycle(specs)
        self.loading = LoadingService(EnginePool(ProcessEngine))
        self.room = Room(crowded=False)
        self.switching = SwitchingService(self.loading, self.room)
        self.chat = ChatService(self.loading.engine, lambda: self.store, OwnThread("store"))
        self.instance: InstanceId | None = None
        self.conversation: ConversationId | None = None
        self.head: MessageId | None = None
        self.said: list[str] = []
        self.pids: set[int] = set()

    async def switch(self) -> None:
        """Go to the next model, and say something to it."""
        switched = await self.switching.switch(next(self.specs), self.instance, anyway=True)
        self.instance = switched.instance.id
        pid = switched.instance.pid
        assert pid is not None
        self.pids.add(pid)
        await self.say(f"message {len(self.said)}")

    async def say(self, text: str) -> None:
        """Store a message and its answer."""
        assert self.instance is not None
        message = await self.chat.post(self.conversation, self.head, text)
        self.conversation, self.head = message.conversation_id, message.id
        self.said.append(text)
        request = ReplyRequest(
            conversation_id=message.conversation_id,
            instance=self.instance,
            preset=PRESET,
            parent_id=message.id,
        )
        async for event in self.chat.reply(request):
            stored = getattr(event, "message", None)
            self.head = stored.id if stored is not None else self.head

    async def check(self) -> None:
        """Assert that every message is stored, and that only the last model has a process."""
        messages = await self.chat.messages(self.head)
        assert [one.text for one in messages if one.role == "user"] == self.said
        answers = [one for one in messages if one.role == "assistant"]
        assert len(answers) == len(self.said)
        assert all(one.text and one.status == "complete" for one in answers)
        async with asyncio.timeout(20):
            while len(self.loading.instances()) > 1:  # noqa: ASYNC110 - retiring sets no event
                await asyncio.sleep(0.002)
        (last,) = self.loading.instances()
        assert isinstance(last.state, Ready)
        assert {pid for pid in self.pids if psutil.pid_exists(pid)} == {last.pid}


@pytest.fixture
async def chatting(tiny_llama: Path, tiny_moe: Path) -> AsyncIterator[Chatting]:
    chatting = Chatting(tuple(LoadSpec(path=str(path), options=OPTIONS) for path in (tiny_llama, tiny_moe)))
    yield chatting
    await chatting.loading.close()
    assert not any(psutil.pid_exists(pid) for pid in chatting.pids)


async def test_three_switches_while_chatting_lose_nothing(chatting: Chatting) -> None:
    for crowded in (False, True, False):
        chatting.room.crowded = crowded
        await chatting.switch()
    await chatting.check()


async def test_a_model_that_was_truncated_meanwhile_brings_the_old_one_back(
    chatting: Chatting, tmp_path: Path, tiny_moe: Path
) -> None:
    await chatting.switch()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_moe.read_bytes()[:-1000])  # noqa: ASYNC240 - nothing else runs here
    chatting.room.crowded = True
    with pytest.raises(EngineError, match=r"broken\.gguf"):
        await chatting.switching.switch(LoadSpec(path=str(broken), options=OPTIONS), chatting.instance)
    chatting.pids = {one.pid for one in chatting.loading.instances() if one.pid is not None}
    await chatting.say("still there?")
    await chatting.check()


@pytest.mark.soak
async def test_a_hundred_switches_lose_nothing_and_leave_nothing_behind(chatting: Chatting) -> None:
    own = psutil.Process()
    for number in range(10):
        chatting.room.crowded = bool(number % 2)
        await chatting.switch()
    before, descriptors = own.memory_info().rss, own.num_fds()
    for number in range(100):
        chatting.room.crowded = bool(number % 3)
        await chatting.switch()
    await chatting.check()
    assert own.memory_info().rss - before < MOST_GROWTH_BYTES
    assert own.num_fds() <= descriptors + 2
