"""`kobold-tui bench` prints speeds in rows or as JSON, and keeps what it has when it is interrupted."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine
from fake_bench import Speed, TimedEngine
from fake_world import GIB, World, model

from kobold_tui.cli.bench_figures import label, lines
from kobold_tui.cli.output import cell_width
from kobold_tui.domain.benchmark import BenchRun, BenchSettings, DeviceBytes, Spread
from kobold_tui.domain.errors import Failure
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate

MODEL = model("tiny")
AMOUNTS = ("--n-prompt", "60", "--n-gen", "12", "--repeat", "2")


def bench_world(speed: Speed, refused: int | None = None) -> World:
    """Return a world whose one model refuses that number of threads."""

    def refuse(options: LoadOptions) -> Failure | None:
        return Failure(title="Out of memory", message="No room.") if options.n_threads == refused else None

    def make(instance_id: InstanceId) -> TimedEngine:
        return TimedEngine(instance_id, speed, refuse=refuse)

    world = World([MODEL], make_engine=make)
    host = DeviceMemory(name="RAM", weights_bytes=GIB, is_host=True)
    world.estimates[MODEL.path] = MemoryEstimate(n_gpu_layers=0, n_layer=30, devices=(host,))
    return world


def by_threads(options: LoadOptions) -> tuple[float, float]:
    assert isinstance(options.n_threads, int)
    return 100.0 * options.n_threads, 10.0 * options.n_threads


def test_json_has_the_promised_keys_first(command_line: CommandLine) -> None:
    command_line.world = bench_world(by_threads)
    done = command_line.run("bench", "tiny", *AMOUNTS, "--threads", "2,4", "--json")
    assert done.status == 0, done.out
    slow, fast = done.json["runs"]
    promised = ("n_gpu_layers", "prompt_tokens_per_second", "tokens_per_second", "seconds_to_load", "memory")
    assert tuple(slow)[:5] == promised
    assert fast["prompt_tokens_per_second"] == pytest.approx(400 * 0.985)
    assert fast["tokens_per_second"] == pytest.approx(40 * 0.985)
    assert fast["seconds_to_load"] == 1.5
    assert fast["memory"] == [{"device": "RAM", "predicted_bytes": GIB, "measured_bytes": None}]
    assert (fast["n_gpu_layers"], fast["n_prompt"], fast["n_gen"], fast["repeats"]) == (0, 60, 12, 2)
    assert fast["spread"] == pytest.approx([40 * 0.98, 40 * 0.99])
    assert (done.json["winner"], done.json["interrupted"]) == (1, False)


def test_a_refused_load_is_a_row_with_its_reason(command_line: CommandLine) -> None:
    command_line.world = bench_world(by_threads, refused=2)
    done = command_line.run("bench", "tiny", *AMOUNTS, "--threads", "2,4", "--json")
    refused, measured = done.json["runs"]
    assert (refused["error"]["title"], refused["tokens_per_second"]) == ("Out of memory", None)
    assert measured["error"] is None
    assert (done.status, done.json["winner"]) == (0, 1)


def test_nothing_that_could_be_measured_is_a_failure(command_line: CommandLine) -> None:
    command_line.world = bench_world(by_threads, refused=2)
    done = command_line.run("bench", "tiny", *AMOUNTS, "--threads", "2")
    assert done.status == 1
    assert "auto layers, f16/f16, batch 512, 2 threads: Out of memory. No room." in done.out


def test_people_read_a_table_with_the_fastest_marked(command_line: CommandLine) -> None:
    command_line.world = bench_world(by_threads)
    done = command_line.run("bench", "tiny", *AMOUNTS, "--threads", "2,4")
    title, slow, fast = done.out.splitlines()
    assert title.split()[:5] == ["LAYERS", "KV", "BATCH", "THREADS", "PROMPT"]
    assert slow.split()[:2] == ["0", "f16"]
    assert fast.split()[:3] == ["*", "0", "f16"]
    assert "394 ±1%" in fast
    assert "prompt 394.0 tok/s, answer 39.4 tok/s" in done.err


def test_what_was_measured_before_ctrl_c_is_printed(command_line: CommandLine) -> None:
    n_answers = 0

    def interrupted(options: LoadOptions) -> tuple[float, float]:
        nonlocal n_answers
        n_answers += 1
        if n_answers == 5:  # warm-up and two repeats of the first placement, then the second warm-up
            signal.raise_signal(signal.SIGINT)
        return by_threads(options)

    command_line.world = bench_world(interrupted)
    done = command_line.run("bench", "tiny", *AMOUNTS, "--threads", "2,4", "--json")
    assert done.status == 130
    assert [run["tokens_per_second"] for run in done.json["runs"]] == [pytest.approx(20 * 0.985)]
    assert done.json["interrupted"] is True
    assert "measured before" in done.err
    assert command_line.world.ledger.held == {}


def test_the_fastest_is_saved_as_a_preset(command_line: CommandLine, tmp_path: Path) -> None:
    command_line.world = bench_world(by_threads)
    command_line.world.keep_presets_in(tmp_path)
    done = command_line.run("bench", "tiny", *AMOUNTS, "--threads", "2,4", "--save", "quick")
    assert done.status == 0
    stored = command_line.world.library.read("quick").preset
    assert (stored.model, stored.load.n_threads, stored.load.n_threads_batch) == (MODEL.path, 4, 4)
    assert "quick" in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--n-gpu-layers", "1,,2"), "no list of layers"),
        (("--n-gpu-layers", "-1"), "no list of layers"),
        (("--threads", "0"), "not a list of numbers from 1 to 1024"),
        (("--threads", "4,x"), "not a list of numbers"),
        (("--type-k", "q9"), "'q9' is no cache type"),
        (("--type-k", "f16,q8_0", "--type-v", "f16,q8_0,q4_0"), "2 types and --type-v has 3"),
        (("--n-gen", "1"), "n_gen"),
        (("--repeat", "0"), "repeat"),
        (("--n-prompt", "4000"), "do not go into a context of 2048"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_loaded(
    command_line: CommandLine, options: tuple[str, ...], words: str
) -> None:
    command_line.world = World([MODEL])
    done = command_line.run("bench", "tiny", *options)
    assert done.status == 2
    assert words in done.err
    assert not command_line.world.engines


def test_types_of_keys_and_values_are_taken_in_pairs(command_line: CommandLine) -> None:
    command_line.world = bench_world(lambda _: (1.0, 1.0))
    lists = ("--type-k", "f16,q8_0", "--type-v", "f16,q4_0")
    done = command_line.run("bench", "tiny", *AMOUNTS, *lists, "--json")
    assert [(run["type_k"], run["type_v"]) for run in done.json["runs"]] == [("f16", "f16"), ("q8_0", "q4_0")]


def test_a_table_fits_the_screen_and_reasons_cannot_steer_it() -> None:
    speed = Spread(median=123.4, low=120.0, high=130.0)
    memory = (DeviceBytes(device="CUDA0", predicted_bytes=5 * GIB, measured_bytes=5 * GIB + 1),)
    good = BenchRun(
        options=LoadOptions(),
        n_gpu_layers=31,
        prompt_tokens_per_second=speed,
        tokens_per_second=speed,
        seconds_to_load=2.0,
        memory=memory * 3,
    )
    bad = msgspec.structs.replace(good, failure=Failure(title="Out of memory", message="CUDA0 is full."))
    shown = lines((good, bad), good, 80)
    assert all(cell_width(line) <= 80 for line in shown[:3])
    assert shown[-1] == f"{label(bad)}: Out of memory. CUDA0 is full."
    assert "123 ±5%" in shown[1]


def test_the_defaults_are_those_of_the_manual() -> None:
    assert msgspec.structs.astuple(BenchSettings()) == (512, 128, 3)
