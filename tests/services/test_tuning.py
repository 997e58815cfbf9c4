"""Planning for a model: read once, predicted at will, confirmed by dry runs, and wiser after each load."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_tuning import FakeOverheads, FakeRunner

from kobold_tui.domain.errors import EngineError, ModelFileError
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.load_options import LoadOptions, LoraAdapter
from kobold_tui.domain.memory import Device, DeviceMemory, MemoryEstimate
from kobold_tui.domain.model import Header
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.gguf.header import read_header
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.tuning import TuningService

GIB, MIB = 1024**3, 1024**2
CHAT = InstanceId("chat")


class Bench:
    """A tuning service over one machine with two cards, of which one is hidden."""

    def __init__(self, *, can_offload: bool = True, reserve_bytes: int = 0) -> None:
        self.runner, self.overheads = FakeRunner(), FakeOverheads()
        self.held: dict[str, int] = {}
        self.read: list[Path] = []
        self.service = TuningService(
            self._read,
            OwnThread("files"),
            self._telemetry,
            self.runner,
            self.overheads,
            can_offload=lambda: can_offload,
            reserve_bytes=reserve_bytes,
        )

    def _read(self, path: Path) -> Header:
        self.read.append(path)
        return read_header(path)

    async def _telemetry(self) -> Telemetry:
        processes = tuple(
            GpuProcess(pid=n, memory_bytes=size, instance=name)
            for n, (name, size) in enumerate(self.held.items())
        )
        used = sum(self.held.values())
        cards = (
            GpuSnapshot(index=0, uuid="a", name="H200", is_visible=False, memory_free_bytes=GIB),
            GpuSnapshot(
                index=0,
                uuid="b",
                name="L4",
                memory_total_bytes=24 * GIB,
                memory_free_bytes=20 * GIB - used,
                processes=processes,
            ),
        )
        host = HostSnapshot(memory_total_bytes=64 * GIB, memory_available_bytes=32 * GIB)
        return Telemetry(taken_at=0.0, host=host, gpus=cards, driver="550.1")


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_the_devices_are_ram_and_the_cards_that_llama_cpp_sees(bench: Bench) -> None:
    ram, card = await bench.service.devices()
    assert (ram.name, ram.is_host, ram.free_bytes) == ("RAM", True, 32 * GIB)
    assert (card.name, card.free_bytes, card.total_bytes) == ("CUDA0", 20 * GIB, 24 * GIB)


async def test_what_a_leaving_model_holds_counts_as_free(bench: Bench) -> None:
    bench.held["chat"] = 5 * GIB
    assert (await bench.service.devices())[1].free_bytes == 15 * GIB
    assert (await bench.service.devices(leaving=CHAT))[1].free_bytes == 20 * GIB


async def test_a_build_for_the_cpu_plans_for_ram_alone() -> None:
    assert [device.name for device in await Bench(can_offload=False).service.devices()] == ["RAM"]


async def test_reserve_and_learned_overhead_are_part_of_a_card() -> None:
    bench = Bench(reserve_bytes=512 * MIB)
    bench.overheads.known["L4 | 550.1"] = 300 * MIB
    card = (await bench.service.devices())[1]
    assert (card.reserve_bytes, card.overhead_bytes) == (512 * MIB, 300 * MIB)
    assert (await bench.service.devices(reserve_bytes=0))[1].reserve_bytes == 0


async def test_a_model_is_read_once_until_its_file_changes(bench: Bench, tiny_llama: Path) -> None:
    spec = LoadSpec(path=str(tiny_llama))
    first = await bench.service.prepare(spec)
    again = await bench.service.prepare(LoadSpec(path=str(tiny_llama), options=LoadOptions(n_ctx=512)))
    assert first.shape is again.shape
    assert again.spec.options.n_ctx == 512
    assert len(bench.read) == 1
    os.utime(tiny_llama, ns=(1, 1))
    await bench.service.prepare(spec)
    assert len(bench.read) == 2


async def test_a_broken_file_is_an_error_and_predicts_nothing(bench: Bench, tmp_path: Path) -> None:
    spec = LoadSpec(path=str(tmp_path / "missing.gguf"))
    with pytest.raises(ModelFileError):
        await bench.service.prepare(spec)
    assert await bench.service.predict(spec) is None


async def test_files_beside_the_model_count(bench: Bench, tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "mmproj.gguf").write_bytes(b"x" * 1000)
    (tmp_path / "lora.gguf").write_bytes(b"x" * 200)
    adapter = LoraAdapter(path=str(tmp_path / "lora.gguf"))
    options = LoadOptions(mmproj=str(tmp_path / "mmproj.gguf"), lora=(adapter,))
    model = await bench.service.prepare(LoadSpec(path=str(tiny_llama), options=options))
    assert (model.files.projector_bytes, model.files.adapters_bytes) == (1000, 200)


async def test_a_prediction_is_for_the_devices_of_now(bench: Bench, tiny_llama: Path) -> None:
    options = LoadOptions(n_gpu_layers=2, n_ctx=512)
    estimate = await bench.service.predict(LoadSpec(path=str(tiny_llama), options=options))
    assert estimate is not None
    assert [device.name for device in estimate.devices] == ["RAM", "CUDA0"]
    assert estimate.n_gpu_layers == 2
    assert estimate.cards[0].weights_bytes > 0
    assert estimate.cards[0].free_bytes == 20 * GIB


async def test_a_dry_run_is_asked_for_cards_like_the_planned_ones(bench: Bench, tiny_llama: Path) -> None:
    model = await bench.service.prepare(LoadSpec(path=str(tiny_llama)))
    devices = (
        Device(name="RAM", free_bytes=5, is_host=True),
        Device(name="CUDA0", free_bytes=7 * GIB, total_bytes=8 * GIB, reserve_bytes=3),
    )
    exact = await bench.service.confirm(model, LoadOptions(n_ctx=512), devices)
    assert bench.runner.asked == [
        (LoadOptions(n_ctx=512), (VirtualCard(name="CUDA0", free_bytes=7 * GIB, total_bytes=8 * GIB),))
    ]
    assert exact.exact
    assert [(row.free_bytes, row.reserve_bytes) for row in exact.devices] == [(5, 0), (7 * GIB, 3)]
    await bench.service.confirm(model, LoadOptions())
    assert bench.runner.asked[-1][1] is None, "without devices it is for those of the machine"


async def test_a_dry_run_that_fails_says_so(bench: Bench, tiny_llama: Path) -> None:
    bench.runner.failure = EngineError("The dry run failed", "no luck")
    model = await bench.service.prepare(LoadSpec(path=str(tiny_llama)))
    with pytest.raises(EngineError, match="no luck"):
        await bench.service.confirm(model, LoadOptions())


async def test_a_load_teaches_what_a_card_gave_beside_the_buffers(bench: Bench) -> None:
    bench.held["chat"] = 5 * GIB
    rows = (
        DeviceMemory(name="RAM", is_host=True, weights_bytes=GIB),
        DeviceMemory(name="CUDA0", weights_bytes=4 * GIB, overhead_bytes=100 * MIB),
    )
    await bench.service.learn(CHAT, MemoryEstimate(n_gpu_layers=1, n_layer=1, devices=rows))
    assert bench.overheads.known == {"L4 | 550.1": GIB}
    await bench.service.learn(InstanceId("other"), MemoryEstimate(n_gpu_layers=1, n_layer=1, devices=rows))
    assert bench.overheads.known == {"L4 | 550.1": GIB}, "what is not on the card teaches nothing"


async def test_closing_ends_the_dry_runs(bench: Bench) -> None:
    await bench.service.close()
    assert bench.runner.closed
