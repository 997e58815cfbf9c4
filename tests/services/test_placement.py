"""Memory is reserved before a load, on the devices it will go to, and given back after it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.ledger import HOST
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import PlacementService, free_by_key
from kobold_tui.services.switching import NoRoomError, SwitchingService
from kobold_tui.storage.ledger_file import LedgerFile

GIB = 1024**3
CHAT, OTHER, BIG = (LoadSpec(path=f"/models/{name}.gguf") for name in ("chat", "other", "big"))
ID_CHAT, ID_OTHER = InstanceId("chat"), InstanceId("other")


def estimate(**sizes: float) -> MemoryEstimate:
    """Return an estimate of so many GiB by device."""
    devices = (
        DeviceMemory(name=name, weights_bytes=int(size * GIB), is_host=name == HOST)
        for name, size in sizes.items()
    )
    return MemoryEstimate(n_gpu_layers=1, n_layer=1, devices=tuple(devices))


NEEDS: dict[str, MemoryEstimate | None] = {
    CHAT.path: estimate(CUDA0=6, RAM=1),
    OTHER.path: estimate(CUDA0=6),
    BIG.path: estimate(CUDA1=30, RAM=100),
}


class Machine:
    """A machine with cards of 10 and 20 GiB free, whose driver sees what is marked as loaded."""

    def __init__(self, folder: Path) -> None:
        self.taken: dict[str, int] = {}
        self.ledger = LedgerFile(folder, alive=lambda _: True)
        self.needs = dict(NEEDS)
        self.placement = self.copy(self.ledger)

    def copy(self, ledger: LedgerFile) -> PlacementService:
        return PlacementService(ledger, OwnThread("ledger"), self.telemetry, self.predict)

    async def telemetry(self) -> Telemetry:
        ours = tuple(
            GpuProcess(pid=n, memory_bytes=size, instance=name)
            for n, (name, size) in enumerate(self.taken.items())
        )
        free = 10 * GIB - sum(self.taken.values())
        cards = (
            GpuSnapshot(index=0, uuid="GPU-a", name="A", memory_free_bytes=free, processes=ours),
            GpuSnapshot(index=1, uuid="GPU-b", name="B", memory_free_bytes=20 * GIB),
            GpuSnapshot(index=2, uuid="GPU-c", name="C", memory_free_bytes=80 * GIB, is_visible=False),
        )
        host = HostSnapshot(memory_total_bytes=64 * GIB, memory_available_bytes=32 * GIB)
        return Telemetry(taken_at=0.0, host=host, gpus=cards, workers=dict.fromkeys(self.taken, 5 * GIB))

    async def predict(self, spec: LoadSpec) -> MemoryEstimate | None:
        return self.needs[spec.path]


@pytest.fixture
async def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_a_load_reserves_what_it_will_take_and_where(machine: Machine) -> None:
    assert await machine.placement.claim(ID_CHAT, CHAT) == NEEDS[CHAT.path]
    free = await machine.placement.free()
    assert free == {"GPU-a": 4 * GIB, "GPU-b": 20 * GIB, HOST: 31 * GIB}
    await machine.placement.loaded(ID_CHAT)
    assert (await machine.placement.free())["GPU-a"] == 10 * GIB, "the driver's figure takes over"


async def test_two_loads_at_once_do_not_get_the_same_memory(machine: Machine, tmp_path: Path) -> None:
    elsewhere = machine.copy(LedgerFile(tmp_path, owner="another/1/1", alive=lambda _: True))
    results = await asyncio.gather(
        machine.placement.claim(ID_CHAT, CHAT), elsewhere.claim(ID_OTHER, OTHER), return_exceptions=True
    )
    assert sorted(isinstance(result, NoRoomError) for result in results) == [False, True]


async def test_what_does_not_fit_is_named_with_its_device_and_figures(machine: Machine) -> None:
    with pytest.raises(NoRoomError) as refused:
        await machine.placement.claim(InstanceId("big"), BIG)
    assert "30.0 GiB of CUDA1, which has 20.0 GiB left" in refused.value.message
    assert "100 GiB of RAM, which has 32.0 GiB left" in refused.value.message


async def test_the_memory_of_a_model_that_leaves_counts_as_free(machine: Machine) -> None:
    machine.taken["chat"] = 6 * GIB
    with pytest.raises(NoRoomError):
        await machine.placement.claim(ID_OTHER, OTHER)
    assert await machine.placement.claim(ID_OTHER, OTHER, leaving=ID_CHAT) == NEEDS[OTHER.path]
    free = free_by_key(await machine.telemetry(), ID_CHAT)
    assert free == {"GPU-a": 10 * GIB, "GPU-b": 20 * GIB, HOST: 37 * GIB}


async def test_what_nobody_can_predict_and_what_runs_elsewhere_is_let_through(machine: Machine) -> None:
    machine.needs[CHAT.path] = None
    assert await machine.placement.claim(ID_CHAT, CHAT) is None
    remote = LoadSpec(path="nowhere", endpoint=Endpoint(url="http://127.0.0.1:1/v1"))
    assert await machine.placement.claim(ID_CHAT, remote) is None
    assert machine.ledger.reservations() == ()


@pytest.mark.parametrize(("limit", "allowed"), [(6 * GIB, True), (6 * GIB - 1, False), (None, True)])
async def test_a_preset_may_limit_what_a_model_takes_of_each_card(
    machine: Machine, limit: int | None, allowed: bool
) -> None:
    spec = LoadSpec(path=CHAT.path, card_limit_bytes=limit)
    if allowed:
        assert await machine.placement.claim(ID_CHAT, spec) == NEEDS[CHAT.path]
        return
    with pytest.raises(NoRoomError, match=r"6\.00 GiB of CUDA0, and its preset allows"):
        await machine.placement.claim(ID_CHAT, spec)
    assert machine.ledger.reservations() == ()


async def test_every_load_that_went_well_is_told_with_its_prediction(machine: Machine) -> None:
    told: list[tuple[InstanceId, MemoryEstimate]] = []

    async def learn(instance_id: InstanceId, estimate: MemoryEstimate) -> None:
        told.append((instance_id, estimate))

    placement = PlacementService(
        machine.ledger, OwnThread("ledger"), machine.telemetry, machine.predict, learn
    )
    await placement.claim(ID_CHAT, CHAT)
    await placement.release(ID_CHAT)
    await placement.loaded(ID_CHAT)
    assert told == [], "a load that came to nothing teaches nothing"
    await placement.claim(ID_OTHER, OTHER)
    await placement.loaded(ID_OTHER)
    assert told == [(ID_OTHER, NEEDS[OTHER.path])]


async def test_closing_gives_everything_back(machine: Machine) -> None:
    await machine.placement.claim(ID_CHAT, CHAT)
    await machine.placement.close()
    assert machine.ledger.reservations() == ()


async def test_a_switch_overlaps_where_both_fit_and_else_not(machine: Machine) -> None:
    loading = LoadingService(EnginePool(FakeEngine))
    switching = SwitchingService(loading, machine.placement)
    await switching.switch(CHAT)
    machine.taken["chat"] = 6 * GIB
    switched = await switching.switch(OTHER, ID_CHAT)
    assert not switched.overlapped
    assert switched.instance.estimate == NEEDS[OTHER.path]
    machine.taken.clear()
    machine.taken["other"] = 6 * GIB
    machine.needs[CHAT.path] = estimate(CUDA0=4)
    assert (await switching.switch(CHAT, ID_OTHER)).overlapped
    assert machine.ledger.reservations() == ()
    await loading.close()
