"""The best placement is confirmed by dry runs, decided for loads that leave it open, and asked for once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from fake_tuning import FakeOverheads, FakeRunner
from model_shapes import header_of, write_file

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.load_options import CPU_ONLY, LoadOptions
from kobold_tui.domain.memory import MAX_PROBES, Device, MemoryEstimate, predict, shape_of
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard
from kobold_tui.gguf.header import read_header
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.tuning import TuningService
from kobold_tui.services.tuning_model import TuningModel
from kobold_tui.services.tuning_runs import NoResults

GIB, MIB = 1024**3, 1024**2
SHAPE = shape_of(header_of("llama-8b"))
OPTIONS = LoadOptions(n_ctx=8192)


class Kept(NoResults):
    """Figures by key, in memory."""

    def __init__(self) -> None:
        self.known: dict[str, MemoryEstimate] = {}

    def find(self, key: str) -> MemoryEstimate | None:
        return self.known.get(key)

    def keep(self, found: Mapping[str, MemoryEstimate]) -> None:
        self.known.update(found)


class Slow(FakeRunner):
    """Dry runs that never end."""

    async def measure(
        self,
        model: LoadSpec,
        options: LoadOptions | None = None,
        cards: Sequence[VirtualCard] | None = None,
        *,
        replaceable: bool = True,
    ) -> MemoryEstimate:
        await asyncio.Event().wait()
        raise AssertionError


class Bench:
    """Planning for an 8B model; dry runs find `more_bytes` beyond the prediction on each card in use."""

    def __init__(self, path: Path) -> None:
        self.path = str(write_file(header_of("llama-8b"), path / "llama-8b.gguf"))
        self.more_bytes = 0
        self.runner: FakeRunner = FakeRunner(self._dry_run)
        self.results = Kept()
        self.free_bytes = 20 * GIB
        self.held_bytes = 0
        self.ram_bytes = 64 * GIB
        self.decide_seconds = 60.0

    @property
    def spec(self) -> LoadSpec:
        return LoadSpec(path=self.path, options=OPTIONS, reserve_bytes=0)

    def service(self, *, can_offload: bool = True, library: str = "1") -> TuningService:
        return TuningService(
            read_header,
            OwnThread("files"),
            self._telemetry,
            self.runner,
            FakeOverheads(),
            can_offload=lambda: can_offload,
            results=self.results,
            library=lambda: library,
            decide_seconds=self.decide_seconds,
        )

    async def _telemetry(self) -> Telemetry:
        held = GpuProcess(pid=1, memory_bytes=self.held_bytes, instance="old")
        card = GpuSnapshot(index=0, uuid="b", name="L4", memory_free_bytes=self.free_bytes, processes=(held,))
        host = HostSnapshot(memory_total_bytes=64 * GIB, memory_available_bytes=self.ram_bytes)
        return Telemetry(taken_at=0.0, host=host, gpus=(card,))

    def _dry_run(
        self, _spec: LoadSpec, options: LoadOptions, cards: tuple[VirtualCard, ...] | None
    ) -> MemoryEstimate:
        devices = [Device(name=card.name, free_bytes=card.free_bytes) for card in cards or ()]
        found = predict(SHAPE, options, devices)
        rows = [
            msgspec.structs.replace(
                row, compute_bytes=row.compute_bytes + self.more_bytes * (row.weights_bytes > 0)
            )
            for row in found.devices
        ]
        return msgspec.structs.replace(found, devices=tuple(rows), exact=True)


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def cards(*sizes: float) -> tuple[Device, ...]:
    ram = Device(name="RAM", free_bytes=64 * GIB, is_host=True)
    return (ram, *(Device(name=f"CUDA{n}", free_bytes=int(size * GIB)) for n, size in enumerate(sizes)))


async def test_what_fits_is_confirmed_by_one_dry_run(bench: Bench) -> None:
    service = bench.service()
    found = await service.best(await service.prepare(bench.spec), OPTIONS, cards(8))
    assert (found.kind, found.estimate.exact, found.estimate.fits) == ("all", True, True)
    assert len(bench.runner.asked) == 1


async def test_a_proposal_that_is_too_large_is_taken_back(bench: Bench) -> None:
    service = bench.service()
    model = await service.prepare(bench.spec)
    predicted = await service.best(model, OPTIONS, cards(4))
    bench.more_bytes, bench.results = 300 * MIB, Kept()
    found = await bench.service().best(model, OPTIONS, cards(4))
    assert found.estimate.exact
    assert found.estimate.fits
    assert 0 < found.estimate.n_gpu_layers < predicted.estimate.n_gpu_layers


async def test_room_that_a_dry_run_finds_is_used(bench: Bench) -> None:
    service = bench.service()
    model = await service.prepare(bench.spec)
    predicted = await service.best(model, OPTIONS, cards(4))
    bench.more_bytes, bench.results = -300 * MIB, Kept()
    found = await bench.service().best(model, OPTIONS, cards(4))
    assert found.estimate.exact
    assert found.estimate.fits
    assert found.estimate.n_gpu_layers > predicted.estimate.n_gpu_layers


async def test_without_dry_runs_the_prediction_stands(bench: Bench) -> None:
    bench.runner.failure = EngineError("No dry run", "no luck")
    service = bench.service()
    found = await service.best(await service.prepare(bench.spec), OPTIONS, cards(4))
    assert (found.kind, found.estimate.exact) == ("partly", False)


async def test_the_largest_context_is_shortened_until_a_dry_run_agrees(bench: Bench) -> None:
    service = bench.service()
    model = await service.prepare(bench.spec)
    options = LoadOptions(n_gpu_layers=33)
    predicted = await service.largest_context(model, options, cards(8))
    bench.more_bytes, bench.results = 200 * MIB, Kept()
    found = await bench.service().largest_context(model, options, cards(8))
    assert isinstance(found.options.n_ctx, int)
    assert isinstance(predicted.options.n_ctx, int)
    assert (found.estimate.exact, found.estimate.fits) == (True, True)
    assert 256 <= found.options.n_ctx < predicted.options.n_ctx
    assert f"{found.options.n_ctx:,}" in found.why
    bench.more_bytes, bench.results = 100 * GIB, Kept()
    assert (await bench.service().largest_context(model, options, cards(8))).kind == "no"


async def test_a_load_that_leaves_its_layers_open_gets_the_best_placement(bench: Bench) -> None:
    bench.free_bytes = 4 * GIB
    placed = await bench.service().decide(bench.spec)
    assert isinstance(placed.options.n_gpu_layers, int)
    assert 0 < placed.options.n_gpu_layers < 33
    limited = await bench.service().decide(msgspec.structs.replace(bench.spec, card_limit_bytes=2 * GIB))
    reserved = await bench.service().decide(msgspec.structs.replace(bench.spec, reserve_bytes=2 * GIB))
    assert limited.options.n_gpu_layers == reserved.options.n_gpu_layers
    assert isinstance(limited.options.n_gpu_layers, int)
    assert limited.options.n_gpu_layers < placed.options.n_gpu_layers


async def test_what_a_leaving_model_holds_is_given_away(bench: Bench) -> None:
    bench.free_bytes, bench.held_bytes = 2 * GIB, 18 * GIB
    assert (await bench.service().decide(bench.spec, InstanceId("old"))).options.n_gpu_layers == 33
    assert (await bench.service().decide(bench.spec)).options.n_gpu_layers != 33


async def test_a_proposal_leaves_open_what_is_set(bench: Bench) -> None:
    spec = msgspec.structs.replace(bench.spec, options=LoadOptions(n_gpu_layers=3))
    proposed = await bench.service().propose(spec)
    assert proposed is not None
    assert proposed.n_gpu_layers == 33
    assert await bench.service(can_offload=False).propose(spec) is None


@pytest.mark.parametrize("options", [LoadOptions(n_gpu_layers=3), LoadOptions(devices=CPU_ONLY)])
async def test_what_is_decided_already_stays(bench: Bench, options: LoadOptions) -> None:
    spec = msgspec.structs.replace(bench.spec, options=options)
    assert await bench.service().decide(spec) is spec
    assert not bench.runner.asked


async def test_without_a_card_or_a_readable_file_nothing_is_decided(bench: Bench) -> None:
    spec = bench.spec
    assert await bench.service(can_offload=False).decide(spec) is spec
    missing = LoadSpec(path="/nowhere.gguf")
    assert await bench.service().decide(missing) is missing


async def test_a_card_without_any_room_is_left_alone(bench: Bench) -> None:
    bench.free_bytes = 0
    placed = await bench.service().decide(bench.spec)
    assert placed.options.is_cpu_only or placed.options.n_gpu_layers == 0
    service = bench.service()
    model, devices = await service.prepare(bench.spec), await service.devices()
    assert model.estimate(placed.options, devices).fits


async def test_dry_runs_that_hang_do_not_hold_up_a_load(bench: Bench) -> None:
    bench.runner, bench.decide_seconds, bench.free_bytes = Slow(), 0.01, 4 * GIB
    placed = await bench.service().decide(bench.spec)
    assert isinstance(placed.options.n_gpu_layers, int)


async def test_a_calibrated_prediction_is_what_dry_runs_say(bench: Bench) -> None:
    bench.more_bytes = 7 * MIB
    service = bench.service()
    model = await service.prepare(bench.spec)
    levels = await service.calibrate(model, OPTIONS, cards(8))
    assert 0 < len(bench.runner.asked) <= MAX_PROBES
    n_asked = len(bench.runner.asked)
    for options, _ in tuple(bench.runner.asked):
        exact = await service.confirm(model, options, cards(8))
        assert model.estimate(options, cards(8)).devices != exact.devices
        assert model.estimate(options, cards(8), levels).devices == exact.devices
    other_layers = msgspec.structs.replace(OPTIONS, n_gpu_layers=9)
    assert await service.calibrate(model, other_layers, cards(8)) is levels
    assert len(bench.runner.asked) == n_asked, "levels are for all layers of a setting"


async def test_a_calibration_that_cannot_be_made_teaches_nothing(bench: Bench) -> None:
    bench.runner.can = PlannerCapabilities(breakdown=True, virtual_cards=False, reason="another build")
    service = bench.service()
    model = await service.prepare(bench.spec)
    assert not (await service.calibrate(model, OPTIONS, cards(8))).known
    bench.runner.can = PlannerCapabilities(breakdown=True, virtual_cards=True)
    bench.runner.failure = EngineError("No dry run", "no luck")
    assert not (await service.calibrate(model, OPTIONS, cards(8))).known


async def asked(bench: Bench, service: TuningService, model: TuningModel, *sizes: float) -> int:
    """Return how many dry runs a confirmation costs."""
    before = len(bench.runner.asked)
    await service.confirm(model, LoadOptions(n_gpu_layers=5), cards(*sizes))
    return len(bench.runner.asked) - before


async def test_a_dry_run_is_made_once_for_each_thing_that_matters(bench: Bench) -> None:
    service = bench.service()
    model = await service.prepare(bench.spec)
    assert await asked(bench, service, model, 8) == 1
    assert await asked(bench, service, model, 8) == 0
    assert await asked(bench, service, model, 6) == 0, "the room on a single card moves nothing"
    assert await asked(bench, service, model, 8, 8) == 1
    assert await asked(bench, service, model, 8, 4) == 1, "the room decides about the split"
    assert await asked(bench, bench.service(), model, 8) == 0, "what was kept outlives the program"
    assert await asked(bench, bench.service(library="2"), model, 8) == 1, "another build"
    os.utime(bench.path, ns=(1, 1))
    assert await asked(bench, service, await service.prepare(bench.spec), 8) == 1, "another file"
