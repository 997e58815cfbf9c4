"""What was measured is kept by model and machine, lets expect speeds, and goes into presets."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from fake_bench import TimedEngine
from fake_world import World, model

from kobold_tui.domain.benchmark import BenchRun, BenchSettings, Spread, expected, winner
from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset_file import PresetConflict
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.services.benchmark import identity_of
from kobold_tui.services.benchmark_plan import BenchWish
from kobold_tui.services.registry import Services

MODEL = model("tiny")
SHORT = BenchSettings(n_prompt=60, n_gen=12, repeat=1)


def speed(value: float) -> Spread:
    return Spread(median=value, low=value, high=value)


def run(options: LoadOptions, read: float, written: float, *, can_offload: bool = True) -> BenchRun:
    layers = options.n_gpu_layers
    return BenchRun(
        options=options,
        n_gpu_layers=layers,
        n_gpu_layers_used=layers if isinstance(layers, int) else 31,
        n_prompt=512,
        n_gen=128,
        n_repeats=3,
        prompt_tokens_per_second=speed(read),
        tokens_per_second=speed(written),
        can_offload=can_offload,
    )


def at(layers: int, **more: object) -> LoadOptions:
    return msgspec.convert({"n_gpu_layers": layers, **more}, LoadOptions)


MEASURED = [run(at(0), 100.0, 10.0), run(at(20), 400.0, 40.0), run(at(31), 4000.0, 100.0)]


def test_a_measured_placement_is_expected_to_be_as_fast_again() -> None:
    found = expected(MEASURED, at(20))
    assert found is not None
    assert (found.prompt_tokens_per_second, found.tokens_per_second) == (400.0, 40.0)
    assert (found.n_measurements, found.is_interpolated) == (1, False)


def test_between_two_measured_numbers_of_layers_the_time_for_a_token_is_linear() -> None:
    found = expected(MEASURED, at(10))
    assert found is not None
    assert found.tokens_per_second == pytest.approx(2 / (1 / 10 + 1 / 40))
    assert found.prompt_tokens_per_second == pytest.approx(2 / (1 / 100 + 1 / 400))
    assert (found.n_measurements, found.is_interpolated) == (2, True)


def test_the_nearest_measurements_count_and_a_newer_one_replaces_an_older() -> None:
    found = expected([*MEASURED, run(at(20), 800.0, 80.0)], at(21))
    assert found is not None
    assert 80.0 < found.tokens_per_second < 100.0


@pytest.mark.parametrize(
    "options",
    [at(32), at(20, type_k="q8_0"), at(20, n_ubatch=128), at(20, n_threads=3), LoadOptions()],
    ids=["beyond what was measured", "another cache", "another batch", "other threads", "auto"],
)
def test_nothing_is_expected_of_what_nothing_alike_was_measured_for(options: LoadOptions) -> None:
    assert expected(MEASURED, options) is None


def test_a_larger_context_makes_no_model_slower() -> None:
    assert expected(MEASURED, at(20, n_ctx=4096)) == expected(MEASURED, at(20))


def test_without_a_gpu_every_number_of_layers_is_as_fast() -> None:
    runs = [run(LoadOptions(), 90.0, 9.0, can_offload=False)]
    found = expected(runs, at(17))
    assert found is not None
    assert found.tokens_per_second == 9.0
    assert expected([*runs, run(at(20), 400.0, 40.0)], at(17)) is None


def test_the_winner_has_the_shortest_prompt_and_answer() -> None:
    slow_to_read = run(at(30), 100.0, 110.0)
    assert winner([*MEASURED, slow_to_read], LoadOptions()) is MEASURED[2]
    assert winner([MEASURED[2], run(at(30), 4000.0, 100.4)], LoadOptions()) is MEASURED[2]
    assert winner([], LoadOptions()) is None


def test_a_failed_run_never_wins_and_a_coarser_cache_only_where_there_is_no_other() -> None:
    failed = msgspec.structs.replace(MEASURED[2], failure=Failure(title="Out of memory", message="…"))
    coarse = run(at(31, type_k="q8_0", type_v="q8_0"), 9000.0, 900.0)
    assert winner([MEASURED[0], failed, coarse], LoadOptions()) is MEASURED[0]
    assert winner([failed, coarse], LoadOptions()) is coarse


async def measured(services: Services) -> BenchRun:
    launch = await services.launch.resolve(None)
    async with aclosing(services.benchmark.run(launch, SHORT, BenchWish(n_threads=(4,)))) as events:
        (only,) = [event async for event in events if isinstance(event, BenchRun)]
        return only


def timed_world() -> World:
    return World([MODEL], make_engine=TimedEngine)


async def test_what_was_measured_here_is_expected_and_of_another_machine_or_file_it_is_not() -> None:
    world = timed_world()
    async with world.open() as services:
        options = (await measured(services)).options
        found = await services.benchmark.expected(MODEL, options)
        assert found is not None
        assert found.tokens_per_second == pytest.approx(9.9)
        changed = msgspec.structs.replace(MODEL, modified_at=5.0)
        assert await services.benchmark.expected(changed, options) is None
    (kept,) = world.measured.kept[identity_of(MODEL)]
    assert (kept.machine.cpu, kept.machine.n_cpus, kept.taken_at) == ("Test CPU", 8, 7.0)
    other = msgspec.structs.replace(kept, machine=msgspec.structs.replace(kept.machine, cpu="Other"))
    world.measured.kept[identity_of(MODEL)] = [other]
    async with world.open() as services:
        assert await services.benchmark.expected(MODEL, options) is None


async def test_figures_that_cannot_be_kept_are_shown_all_the_same() -> None:
    world = timed_world()

    def refuse(*_: object) -> None:
        raise KoboldError("Cannot write a file", "The disk is full.")

    world.measured.add = refuse  # type: ignore[method-assign, assignment]
    async with world.open() as services:
        found = await measured(services)
    assert found.seconds is not None
    assert found.notes == ("Not kept for later: The disk is full.",)


async def test_the_winner_becomes_a_preset_and_replaces_the_settings_of_its_own(tmp_path: Path) -> None:
    world = timed_world()
    world.keep_presets_in(tmp_path)
    async with world.open() as services:
        preset = (await services.launch.resolve(None)).preset
        found = run(at(20, n_threads=4), 400.0, 40.0)
        saved = await services.benchmark.save(preset, found)
        assert (saved.preset.name, saved.preset.load) == (preset.name, found.options)
        again = await services.benchmark.save(preset, MEASURED[2])
        assert (again.path, again.preset.load.n_gpu_layers) == (saved.path, 31)
        copy = await services.benchmark.save(preset, found, "fast one")
        assert (copy.preset.name, copy.preset.load) == ("fast one", found.options)


async def test_only_what_was_measured_changes_in_a_preset_and_comments_are_not_lost(tmp_path: Path) -> None:
    world = timed_world()
    world.keep_presets_in(tmp_path)
    file = tmp_path / "presets" / "mine.toml"
    file.parent.mkdir()
    file.write_text(f'# dear\nname = "mine"\nmodel = "{MODEL.path}"\n[sampling]\ntemperature = 0.3\n')
    async with world.open() as services:
        stored = (await services.presets.read("mine")).preset
        preset = msgspec.structs.replace(stored, sampling=SamplingOptions(temperature=0.9))
        with pytest.raises(PresetConflict, match="comments"):
            await services.benchmark.save(preset, MEASURED[1])
        assert "# dear" in file.read_text()
        saved = await services.benchmark.save(preset, MEASURED[1], overwrite=True)
    assert (saved.preset.load.n_gpu_layers, saved.preset.sampling.temperature) == (20, 0.3)


async def test_a_preset_of_another_model_with_the_same_name_is_left_alone(tmp_path: Path) -> None:
    world = timed_world()
    world.keep_presets_in(tmp_path)
    file = tmp_path / "presets" / "mine.toml"
    file.parent.mkdir()
    file.write_text('name = "tiny"\nmodel = "/models/another.gguf"\n')
    async with world.open() as services:
        preset = services.launch.for_model(MODEL).preset
        saved = await services.benchmark.save(preset, MEASURED[1])
    assert saved.path != file
    assert saved.preset.model == MODEL.path
