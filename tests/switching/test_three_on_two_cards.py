"""Two chat models and an embedding model on two cards that hold just two of them: who goes where, who waits.

The cards compute on the CPU and refuse what is more than they have. What a driver would report as taken is
here what was predicted for the models that are loaded; that the two agree is shown elsewhere.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest
from fake_tuning import FakeOverheads
from remote_talk import read
from virtual_gpus import launch_with

from kobold_tui.domain.generation import EmbedRequest, GenerateRequest
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.domain.instance import Failed, Instance, InstanceId, LoadSpec, Ready
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.planner import DryRunner
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.process import ProcessEngine
from kobold_tui.gguf.header import read_header
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import PlacementService
from kobold_tui.services.residency import ResidencyService
from kobold_tui.services.switching import NoRoomError, SwitchingService
from kobold_tui.services.tuning import TuningService
from kobold_tui.storage.ledger_file import LedgerFile

GIB = 1024**3
OPTIONS = LoadOptions(n_ctx=2048, n_threads=1, n_batch=128, n_ubatch=128)
ASK = GenerateRequest(prompt="hello", max_tokens=6, sampling=SamplingOptions(temperature=0))


class Machine:
    """Two cards of `card_bytes`, as a driver would report them while models come and go."""

    def __init__(self, card_bytes: int, folder: Path) -> None:
        self.card_bytes = card_bytes
        launch = launch_with(f"{card_bytes},{card_bytes}")
        self.loading = LoadingService(EnginePool(lambda name: ProcessEngine(name, launch=launch)))
        self.runner = DryRunner()
        self.tuning = TuningService(
            read_header,
            OwnThread("files"),
            self.telemetry,
            self.runner,
            FakeOverheads(),
            can_offload=lambda: True,
        )
        self.ledger = LedgerFile(folder)
        self.placement = PlacementService(
            self.ledger, OwnThread("ledger"), self.telemetry, self.tuning.predict
        )
        self.switching = SwitchingService(self.loading, self.placement)
        self.residency = ResidencyService(self.loading)

    async def telemetry(self) -> Telemetry:
        ready = [one for one in self.loading.instances() if isinstance(one.state, Ready)]
        cards = tuple(self._card(index, ready) for index in range(2))
        memory = psutil.virtual_memory()
        host = HostSnapshot(memory_total_bytes=memory.total, memory_available_bytes=memory.available)
        return Telemetry(taken_at=0.0, host=host, gpus=cards)

    def _card(self, index: int, ready: list[Instance]) -> GpuSnapshot:
        held = {one.id: _held(one, f"CUDA{index}") for one in ready}
        return GpuSnapshot(
            index=index,
            uuid=f"GPU-{index}",
            name="virtual",
            memory_total_bytes=self.card_bytes,
            memory_free_bytes=self.card_bytes - sum(held.values()),
            processes=tuple(
                GpuProcess(pid=n, memory_bytes=size, instance=name)
                for n, (name, size) in enumerate(held.items())
                if size
            ),
        )

    async def load(self, path: Path, *, embedding: bool = False) -> Instance:
        """Load a model where the search puts it."""
        spec = LoadSpec(path=str(path), options=OPTIONS, embedding=embedding)
        model = await self.tuning.prepare(spec)
        found = await self.tuning.best(model, OPTIONS, await self.tuning.devices())
        return (await self.switching.switch(msgspec.structs.replace(spec, options=found.options))).instance

    async def load_whole(self, path: Path, *, embedding: bool = False) -> Instance:
        """Load all layers of a model onto the cards, or refuse."""
        options = msgspec.structs.replace(OPTIONS, n_gpu_layers=99)
        spec = LoadSpec(path=str(path), options=options, embedding=embedding)
        return (await self.switching.switch(spec)).instance

    async def close(self) -> None:
        await self.loading.close()
        await self.tuning.close()


def _held(instance: Instance, card: str) -> int:
    """What a loaded model has of a card."""
    rows = instance.estimate.cards if instance.estimate else ()
    return sum(row.total_bytes for row in rows if row.name == card)


def cards_of(instance: Instance) -> set[str]:
    assert instance.estimate is not None
    return {row.name for row in instance.estimate.cards if row.total_bytes}


@pytest.fixture
async def machine(tiny_llama: Path, tmp_path: Path) -> AsyncIterator[Machine]:
    probe = Machine(GIB, tmp_path / "probe")
    model = await probe.tuning.prepare(LoadSpec(path=str(tiny_llama), options=OPTIONS))
    whole = msgspec.structs.replace(OPTIONS, n_gpu_layers=99)
    one_card = Device(name="CUDA0", free_bytes=GIB, total_bytes=GIB)
    needed = model.estimate(whole, [one_card]).cards[0].total_bytes
    await probe.close()
    machine = Machine(int(needed * 1.2), tmp_path / "ledger")
    yield machine
    await machine.close()


async def test_the_third_waits_for_room_and_killing_one_leaves_the_others_untouched(
    machine: Machine, tiny_llama: Path, tiny_bert: Path
) -> None:
    first, second = await machine.load(tiny_llama), await machine.load(tiny_llama)
    assert (len(cards_of(first)), len(cards_of(second))) == (1, 1)
    assert cards_of(first) != cards_of(second), "each has a card of its own"

    with pytest.raises(NoRoomError, match="CUDA"):
        await machine.load_whole(tiny_llama)
    embedder = await machine.load(tiny_bert, embedding=True)
    assert isinstance(embedder.state, Ready)

    vectors = await machine.loading.engine(embedder.id).embed(EmbedRequest(texts=("a text",)))
    assert vectors.n_embd == 32
    await read(machine.loading.engine(first.id), ASK)
    assert machine.residency.evictable()[0].id == second.id, "the one not used for longest could make way"

    assert second.pid is not None
    expected, _, _ = await read(machine.loading.engine(first.id), ASK)
    os.kill(second.pid, signal.SIGKILL)
    await until_failed(machine, second.id)
    assert (await read(machine.loading.engine(first.id), ASK))[0] == expected
    again = await machine.loading.engine(embedder.id).embed(EmbedRequest(texts=("a text",)))
    assert again.vectors == vectors.vectors
    await machine.loading.stop(second.id)
    third = await machine.load(tiny_llama)
    assert cards_of(third) == cards_of(second), "its memory came back"
    assert machine.ledger.reservations() == ()


async def until_failed(machine: Machine, instance_id: InstanceId) -> None:
    changes = machine.loading.watch()
    async for instances in changes:
        if any(one.id == instance_id and isinstance(one.state, Failed) for one in instances):
            return
