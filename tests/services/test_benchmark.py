"""A benchmark tries placements one after another; its figures are the worker's, its failures are rows."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import msgspec
import pytest
from fake_bench import TALKATIVE, Speed, TimedEngine, flat
from fake_world import GIB, World, model

from kobold_tui.domain.benchmark import BenchProgress, BenchRun, BenchSettings, DeviceBytes
from kobold_tui.domain.errors import Failure, UsageError
from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.engine.script import Fault, Script
from kobold_tui.services.benchmark_plan import BenchWish
from kobold_tui.services.launch import Launch
from kobold_tui.services.registry import Services

MODEL = model("tiny")
SHORT = BenchSettings(n_prompt=60, n_gen=12, repeat=3)
CARD = GpuSnapshot(
    index=0,
    uuid="GPU-0",
    name="Card",
    memory_total_bytes=24 * GIB,
    memory_used_bytes=0,
    memory_free_bytes=24 * GIB,
)


def layers_help(options: LoadOptions) -> tuple[float, float]:
    """Return the speed of a model whose every layer on the GPU helps."""
    layers = 31 if options.n_gpu_layers == "auto" else options.n_gpu_layers
    return 100.0 + layers, 10.0 + layers


class Bench:
    """A world, its timed engines, and the runs of benchmarks in it."""

    def __init__(
        self,
        speed: Speed = flat,
        *,
        offloads: bool = False,
        gpus: tuple[GpuSnapshot, ...] = (),
        refuse: Callable[[LoadOptions], Failure | None] = lambda _: None,
        script: Script = TALKATIVE,
    ) -> None:
        self.engines: list[TimedEngine] = []

        def make(instance_id: InstanceId) -> TimedEngine:
            engine = TimedEngine(instance_id, speed, script=script, refuse=refuse, offloads=offloads)
            self.engines.append(engine)
            return engine

        self.world = World([MODEL], make_engine=make, gpus=gpus)
        self.progress: list[BenchProgress] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Services, Launch]]:
        async with self.world.open() as services:
            yield services, await services.launch.resolve(None)

    async def runs(
        self, wish: BenchWish | None = None, settings: BenchSettings = SHORT, load: LoadOptions | None = None
    ) -> list[BenchRun]:
        async with self.open() as (services, launch):
            changed = launch if load is None else with_load(launch, load)
            async with aclosing(services.benchmark.run(changed, settings, wish)) as events:
                found = [event async for event in events]
            assert services.loading.instances() == ()
        self.progress = [event for event in found if isinstance(event, BenchProgress)]
        return [event for event in found if isinstance(event, BenchRun)]

    def requests(self) -> list[GenerateRequest]:
        return [
            item for engine in self.engines for item in engine.history if isinstance(item, GenerateRequest)
        ]


def with_load(launch: Launch, load: LoadOptions) -> Launch:
    return msgspec.structs.replace(launch, preset=msgspec.structs.replace(launch.preset, load=load))


def layers_of(runs: list[BenchRun]) -> list[int | str]:
    return [run.n_gpu_layers for run in runs]


async def test_the_middle_of_the_repeats_counts_and_the_warm_up_does_not() -> None:
    (run,) = await Bench().runs(BenchWish(n_threads=(4,)))
    assert run.prompt_tokens_per_second is not None
    assert run.tokens_per_second is not None
    assert run.prompt_tokens_per_second.median == pytest.approx(98.0)
    assert (run.tokens_per_second.low, run.tokens_per_second.high) == pytest.approx((9.7, 9.9))
    assert (run.n_repeats, run.n_prompt, run.n_gen, run.seconds_to_load) == (3, 60, 12, 1.5)


async def test_every_prompt_has_the_wanted_length_and_begins_with_a_token_of_its_own() -> None:
    bench = Bench()
    await bench.runs(BenchWish(n_threads=(4,)), BenchSettings(n_prompt=200, n_gen=12, repeat=9))
    prompts = [request.prompt or "" for request in bench.requests()]
    assert [len(prompt.encode()) for prompt in prompts[1:]] == [200] * 9
    assert len({prompt[:1] for prompt in prompts}) == 10


async def test_nothing_ends_an_answer_and_nothing_random_is_drawn() -> None:
    bench = Bench()
    await bench.runs(BenchWish(n_threads=(4,)))
    for request in bench.requests():
        assert request.ignore_eos
        assert not request.context_shift
        assert request.sampling.temperature == 0.0


async def test_what_was_asked_for_is_tried_in_all_combinations_and_nothing_else() -> None:
    bench = Bench(offloads=True, gpus=(CARD,))
    wish = BenchWish(
        n_gpu_layers=(0, "all"), n_threads=(2, 4), cache_types=(("f16", "f16"), ("q8_0", "q4_0"))
    )
    runs = await bench.runs(wish)
    tried = [
        (run.n_gpu_layers, run.options.n_threads, run.options.type_k, run.options.type_v) for run in runs
    ]
    assert sorted(tried, key=str) == sorted(
        (
            (layers, threads, *types)
            for layers in (0, 31)
            for threads in (2, 4)
            for types in (("f16", "f16"), ("q8_0", "q4_0"))
        ),
        key=str,
    )
    assert all(run.options.n_threads_batch == run.options.n_threads for run in runs)


async def test_every_placement_has_an_engine_of_its_own_which_is_gone_before_the_next() -> None:
    bench = Bench()
    await bench.runs(BenchWish(n_threads=(1, 2, 3)))
    assert len(bench.engines) == 3
    assert all(type(engine.state).__name__ == "Stopped" for engine in bench.engines)


async def test_left_alone_with_a_gpu_it_tries_quarters_of_the_layers_and_then_around_the_best() -> None:
    settings = BenchSettings(n_prompt=400, n_gen=12, repeat=1)
    runs = await Bench(layers_help, offloads=True, gpus=(CARD,)).runs(settings=settings)
    assert layers_of(runs) == [0, 8, 16, 23, 31, 31, 31]
    assert [(run.options.type_k, run.options.type_v, run.options.n_ubatch) for run in runs[5:]] == [
        ("f16", "f16", 128),
        ("q8_0", "q8_0", 512),
    ]


async def test_a_number_of_layers_in_the_preset_is_tried_with_its_neighbours() -> None:
    bench = Bench(layers_help, offloads=True, gpus=(CARD,))
    runs = await bench.runs(load=LoadOptions(n_gpu_layers=30))
    assert layers_of(runs)[:4] == [28, 29, 30, 31]


async def test_without_a_gpu_threads_are_what_varies_and_the_preset_keeps_its_layers() -> None:
    runs = await Bench(lambda options: (10.0, 8.0 if options.n_threads == 4 else 4.0)).runs()
    assert [run.options.n_threads for run in runs][:3] == ["auto", 4, 8]
    assert all(run.options.n_gpu_layers == "auto" for run in runs)
    assert all(run.options.n_threads == 4 for run in runs[3:])


async def test_a_build_without_gpu_support_is_not_asked_for_layers_again_and_again() -> None:
    runs = await Bench(offloads=False, gpus=(CARD,)).runs()
    assert len({run.options.n_gpu_layers for run in runs}) == 1
    assert len({run.options.n_threads for run in runs}) > 1


async def test_layers_that_no_card_holds_are_said_so() -> None:
    (run,) = await Bench().runs(BenchWish(n_gpu_layers=(5,)))
    assert (run.n_gpu_layers, run.n_gpu_layers_used) == (5, 0)
    assert run.notes == ("Only 0 of 5 layers are on a GPU.",)


async def test_a_refused_load_is_a_row_with_its_reason_and_the_others_go_on() -> None:
    full = Failure(title="Out of memory", message="No room for 31 layers.")
    bench = Bench(
        layers_help, offloads=True, gpus=(CARD,), refuse=lambda o: full if o.n_gpu_layers == 31 else None
    )
    runs = await bench.runs(BenchWish(n_gpu_layers=(31, 2)))
    assert [run.failure and run.failure.title for run in runs] == ["Out of memory", None]
    assert runs[0].tokens_per_second is None
    assert runs[1].tokens_per_second is not None


async def test_what_does_not_fit_is_a_row_and_is_never_loaded() -> None:
    bench = Bench()
    host = DeviceMemory(name="RAM", weights_bytes=99 * GIB, is_host=True)
    bench.world.estimates[MODEL.path] = MemoryEstimate(n_gpu_layers=0, n_layer=30, devices=(host,))
    (run,) = await bench.runs(BenchWish(n_threads=(1,)))
    assert run.failure is not None
    assert run.failure.title == "Not enough memory"
    assert run.memory == (DeviceBytes(device="RAM", predicted_bytes=99 * GIB),)
    assert not bench.engines


async def test_a_model_that_dies_in_the_middle_is_a_row_too() -> None:
    script = msgspec.structs.replace(TALKATIVE, at_answer=Fault(kind="kill"), after_tokens=3)
    runs = await Bench(script=script).runs(BenchWish(n_threads=(1, 2)))
    assert [run.failure is not None for run in runs] == [True, True]


async def test_an_answer_that_is_too_short_is_no_figure() -> None:
    (run,) = await Bench(script=Script(reply="only four words here")).runs(BenchWish(n_threads=(1,)))
    assert run.failure is not None
    assert "4 of 8 tokens" in run.failure.message
    assert run.seconds is None


async def test_memory_is_predicted_and_measured_for_each_device() -> None:
    process = GpuProcess(pid=1, memory_bytes=5 * GIB, instance="bench-tiny-Q4_1")
    bench = Bench(
        offloads=True,
        gpus=(msgspec.structs.replace(CARD, processes=(process, GpuProcess(pid=2, memory_bytes=GIB))),),
    )
    devices = (DeviceMemory(name="CUDA0", weights_bytes=4 * GIB), DeviceMemory(name="RAM", is_host=True))
    bench.world.estimates[MODEL.path] = MemoryEstimate(n_gpu_layers=31, n_layer=30, devices=devices)
    (run,) = await bench.runs(BenchWish(n_gpu_layers=(31,)))
    assert run.memory == (
        DeviceBytes(device="CUDA0", predicted_bytes=4 * GIB, measured_bytes=5 * GIB),
        DeviceBytes(device="RAM", predicted_bytes=0),
    )


async def test_progress_names_the_placement_and_how_far_it_is() -> None:
    bench = Bench()
    await bench.runs(BenchWish(n_threads=(1, 2)))
    assert {(each.trial, each.n_trials) for each in bench.progress} == {(1, 2), (2, 2)}
    assert bench.progress[0].phase == "loading"
    last = [each for each in bench.progress if each.trial == 1][-1]
    assert (last.phase, last.repeat, last.fraction) == ("answer", 3, 1.0)


async def test_closing_the_stream_ends_the_measurement_and_unloads_the_model() -> None:
    bench = Bench()
    async with bench.open() as (services, launch):
        async with aclosing(services.benchmark.run(launch, SHORT)) as events:
            async for event in events:
                if isinstance(event, BenchProgress) and event.phase == "answer":
                    break
            assert services.loading.instances()
        assert services.loading.instances() == ()
        assert bench.world.ledger.held == {}
        async with aclosing(services.benchmark.run(launch, SHORT, BenchWish(n_threads=(1,)))) as again:
            assert [event async for event in again if isinstance(event, BenchRun)]


def elsewhere(launch: Launch) -> Launch:
    preset = msgspec.structs.replace(launch.preset, endpoint="http://host:8000/v1")
    return msgspec.structs.replace(launch, preset=preset)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda launch: msgspec.structs.replace(launch, model=model("it", "embedding")), "writes no text"),
        (elsewhere, "another machine"),
        (lambda launch: with_load(launch, LoadOptions(n_ctx=256)), "do not go into a context of 256"),
        (
            lambda launch: msgspec.structs.replace(
                launch, model=msgspec.structs.replace(MODEL, n_ctx_train=512)
            ),
            "do not go into a context of 512",
        ),
    ],
)
async def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(
    change: Callable[[Launch], Launch], words: str
) -> None:
    bench = Bench()
    async with bench.open() as (services, launch):
        with pytest.raises(UsageError, match=words):
            await anext(services.benchmark.run(change(launch), BenchSettings()))
    assert not bench.engines


async def test_too_many_combinations_are_refused() -> None:
    with pytest.raises(UsageError, match="make 101 combinations"):
        await Bench().runs(BenchWish(n_threads=tuple(range(1, 102))))
