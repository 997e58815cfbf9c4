"""`fit`: what a model would take, for scripts and for people, here and on cards that need not exist."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine
from fake_world import GIB, World, model
from model_shapes import header_of

from kobold_tui.cli.fit_figures import BAR_WIDTH, bar
from kobold_tui.cli.output import cell_width
from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device, DeviceMemory, MemoryEstimate, predict, shape_of
from kobold_tui.domain.preset import MemoryOptions, Preset
from kobold_tui.domain.virtual_card import VirtualCard

MODEL, EXPERTS = model("llama-8b"), model("qwen3moe-30b")
CARD = GpuSnapshot(
    index=0, uuid="a", name="L4", memory_total_bytes=24 * GIB, memory_free_bytes=20 * GIB, is_visible=True
)


def dry_run(
    spec: LoadSpec, options: LoadOptions, cards: tuple[VirtualCard, ...] | None, *, more_bytes: int = 0
) -> MemoryEstimate:
    """Return what the prediction says, and some bytes more on each card in use."""
    planned = cards or (VirtualCard(name="CUDA0", free_bytes=20 * GIB),)
    devices = [Device(name=card.name, free_bytes=card.free_bytes) for card in planned]
    found = predict(shape_of(header_of(Path(spec.path).name.removesuffix("-Q4_1.gguf"))), options, devices)
    rows = tuple(
        msgspec.structs.replace(row, compute_bytes=row.compute_bytes + more_bytes * bool(row.weights_bytes))
        for row in found.devices
    )
    return msgspec.structs.replace(found, devices=rows, exact=True)


@pytest.fixture(autouse=True)
def world(command_line: CommandLine) -> World:
    world = command_line.world = World([MODEL, EXPERTS], gpus=(CARD,))
    world.accelerators = ("CUDA",)
    world.headers = {MODEL.path: header_of("llama-8b"), EXPERTS.path: header_of("qwen3moe-30b")}
    world.runner.measured = dry_run
    return world


def test_json_has_the_promised_keys_first(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--json")
    assert done.status == 0, done.out
    assert list(done.json)[:5] == ["n_gpu_layers", "n_layer", "fits", "devices", "exact"]
    assert (done.json["n_gpu_layers"], done.json["n_layer"]) == (33, 32)
    assert (done.json["fits"], done.json["exact"], done.json["kind"]) == (True, False, "all")
    ram, card = done.json["devices"]
    assert list(card)[:7] == [
        *("name", "weights_bytes", "kv_bytes", "compute_bytes"),
        *("overhead_bytes", "total_bytes", "free_bytes"),
    ]
    assert (ram["name"], card["name"], card["free_bytes"]) == ("RAM", "CUDA0", 20 * GIB)
    assert card["kv_bytes"] == 32 * 2 * 8 * 128 * 2 * 8192
    parts = ("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes")
    assert card["total_bytes"] == sum(card[part] for part in parts)
    assert command_line.world.runner.asked == [], "a prediction asks nobody"


def test_other_hardware_takes_the_place_of_the_cards(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--free", "3G,4.5G", "--json")
    names = [(device["name"], device["free_bytes"]) for device in done.json["devices"]]
    assert names == [("RAM", 20 * GIB), ("CUDA0", 3 * GIB), ("CUDA1", int(4.5 * GIB))]
    assert done.json["kind"] == "all"
    split = done.json["options"]["tensor_split"]
    assert sum(split) == 33
    assert 0 < split[0] < split[1]
    without = command_line.run("fit", "llama-8b", "--free", "none", "--json").json
    assert (without["n_gpu_layers"], without["kind"], len(without["devices"])) == (0, "cpu", 1)


def test_what_does_not_fit_is_an_answer_like_any_other(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--n-gpu-layers", "all", "--free", "2G", "--json")
    assert (done.status, done.json["fits"], done.json["kind"]) == (0, False, "no")
    assert done.json["n_gpu_layers"] == 33
    read = command_line.run("fit", "llama-8b", "--n-gpu-layers", "all", "--free", "2G")
    assert "short by" in read.out
    assert "It does not fit." in read.out


def test_layers_that_were_chosen_stay(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--n-gpu-layers", "7", "--json")
    assert (done.json["n_gpu_layers"], done.json["kind"]) == (7, "partly")


def test_experts_go_to_ram_before_layers_do(command_line: CommandLine) -> None:
    done = command_line.run("fit", "qwen3moe-30b", "--free", "12G", "--json")
    assert (done.json["kind"], done.json["n_gpu_layers"]) == ("experts_in_ram", 49)
    assert done.json["options"]["n_cpu_moe"] > 0
    assert "experts" in done.json["why"]


def test_the_largest_context_is_found(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--free", "8G", "--n-ctx", "max", "--json")
    n_ctx = done.json["options"]["n_ctx"]
    assert (n_ctx % 256, done.json["fits"], done.json["n_gpu_layers"]) == (0, True, 33)
    larger = command_line.run("fit", "llama-8b", "--free", "8G", "--n-ctx", str(n_ctx + 256), "--json")
    assert larger.json["n_gpu_layers"] < 33


def test_options_move_the_figures(command_line: CommandLine) -> None:
    def kv_bytes(*options: str) -> int:
        done = command_line.run("fit", "llama-8b", *options, "--json")
        return int(done.json["devices"][1]["kv_bytes"])

    assert kv_bytes("--n-ctx", "16384") == 2 * kv_bytes()
    assert kv_bytes("--type-k", "q8_0", "--type-v", "q8_0") == kv_bytes() * 34 // 64


def test_the_reserve_stays_free(command_line: CommandLine) -> None:
    fits = ("fit", "llama-8b", "--free", "5.6G", "--json")
    assert command_line.run(*fits, "--reserve", "0").json["kind"] == "all"
    assert command_line.run(*fits).json["kind"] == "partly", "512 MiB where nothing is said"


def test_a_preset_brings_its_options_reserve_and_limit(command_line: CommandLine, tmp_path: Path) -> None:
    command_line.world.keep_presets_in(tmp_path)
    memory = MemoryOptions(reserve_bytes=GIB, card_limit_bytes=3 * GIB)
    preset = Preset(name="small", model=MODEL.path, load=LoadOptions(n_ctx=4096), memory=memory)
    command_line.world.library.save(preset)
    done = command_line.run("fit", "small", "--json")
    card = done.json["devices"][1]
    assert (done.json["kind"], card["reserve_bytes"]) == ("partly", GIB)
    assert card["total_bytes"] <= 3 * GIB


def test_exact_figures_of_planned_cards_come_from_cards_like_them(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--free", "4G", "--exact", "--json")
    assert (done.json["exact"], done.json["fits"]) == (True, True)
    asked = {cards for _, cards in command_line.world.runner.asked}
    assert asked == {(VirtualCard(name="CUDA0", free_bytes=4 * GIB, total_bytes=4 * GIB),)}


def test_exact_figures_of_this_machine_come_from_its_own_cards(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--exact", "--json")
    assert done.json["exact"] is True
    assert command_line.world.runner.asked[-1][1] is None


def test_a_dry_run_that_finds_more_takes_layers_back(command_line: CommandLine) -> None:
    predicted = command_line.run("fit", "llama-8b", "--free", "6G", "--json").json
    command_line.world.runner.measured = lambda *request: dry_run(*request, more_bytes=GIB)
    exact = command_line.run("fit", "llama-8b", "--free", "6G", "--exact", "--json").json
    assert (predicted["n_gpu_layers"], exact["fits"]) == (33, True)
    assert 0 < exact["n_gpu_layers"] < 33


def test_an_unknown_architecture_says_that_only_a_dry_run_tells(command_line: CommandLine) -> None:
    header = header_of("llama-8b")
    strange = {
        key.replace("llama.", "strange."): "strange" if key == "general.architecture" else value
        for key, value in header.metadata.items()
    }
    command_line.world.headers[MODEL.path] = msgspec.structs.replace(header, metadata=strange)
    done = command_line.run("fit", "llama-8b", "--json")
    assert (done.status, done.json["is_supported"]) == (0, False)
    assert any("dry run" in note for note in done.json["notes"])
    assert "--exact asks llama.cpp itself." in command_line.run("fit", "llama-8b").out


def test_people_read_a_table_bars_and_why(command_line: CommandLine) -> None:
    done = command_line.run("fit", "llama-8b", "--free", "4G")
    headline, _, titles, ram, card, *rest = done.out.splitlines()
    assert headline.startswith("llama-8b: ")
    assert "8,192 tokens, KV cache f16" in headline
    assert titles.split()[:7] == ["DEVICE", "WEIGHTS", "KV", "COMPUTE", "OVERHEAD", "TOTAL", "FREE"]
    assert (ram.split()[0], card.split()[0], card.split()[-1]) == ("RAM", "CUDA0", "fits")
    assert any(line.startswith("CUDA0  █") and "512 MiB to stay free" in line for line in rest)
    assert any("layers fit on CUDA0" in line for line in rest)
    assert all(cell_width(line) <= 100 for line in done.out.splitlines())


def test_a_bar_shows_every_part_and_never_grows_beyond_its_cells() -> None:
    row = DeviceMemory(name="CUDA0", weights_bytes=50, kv_bytes=25, compute_bytes=1, free_bytes=100)
    shown = bar(row)
    assert (len(shown), shown.count("█"), shown.count("▓"), shown.count("▒")) == (BAR_WIDTH, 20, 10, 1)
    assert shown.endswith("·")
    full = bar(msgspec.structs.replace(row, free_bytes=10))
    assert len(full) == BAR_WIDTH
    assert "·" not in full
    assert bar(DeviceMemory(name="CUDA1", free_bytes=100)) == "·" * BAR_WIDTH


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--n-gpu-layers", "-1"), "-1"),
        (("--n-gpu-layers", "many"), "not a number"),
        (("--n-ctx", "8k"), "not a number"),
        (("--n-ctx", "5"), "n_ctx"),
        (("--type-k", "q9"), "type_k"),
        (("--tensor-split", "a,b"), "no list of shares"),
        (("--tensor-split", "0,0"), "no list of shares"),
        (("--free", "24X"), "not a size"),
        (("--free", "0"), "0 bytes"),
        (("--reserve", "much"), "not a size"),
        (("--n-cpu-moe", "-3"), "n_cpu_moe"),
    ],
)
def test_wrong_usage_is_said_in_words(
    command_line: CommandLine, options: tuple[str, ...], words: str
) -> None:
    done = command_line.run("fit", "llama-8b", *options)
    assert done.status == 2
    assert words in done.err


def test_a_model_that_is_not_there_is_an_error(command_line: CommandLine) -> None:
    del command_line.world.headers[MODEL.path]
    done = command_line.run("fit", "llama-8b", "--json")
    assert done.status == 1
    assert "does not exist" in done.json["error"]["message"]
