"""Writes memory_dry_runs.json: what llama.cpp itself says that models of well-known sizes take.

    PYTHONPATH=.:tests/support python tests/data/make_memory_dry_runs.py > tests/data/memory_dry_runs.json

The dry runs are on virtual cards, so that any machine will do. With them the tests of the prediction need no
llama.cpp. Run it again after another version of llama.cpp, or after a change to which dry runs a calibration
asks for.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from model_shapes import SHAPES, header_of, write_file

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Calibration, Device, MemoryEstimate, shape_of
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.engine.planner import DryRunner

GIB = 1 << 30
PLACEMENTS_OF_EACH = 8
SWEEPS: tuple[tuple[str, dict[str, Any], tuple[int, ...]], ...] = (
    ("llama-8b", {"n_ctx": 8192}, (24,)),
    ("llama-8b", {"n_ctx": 32_768, "flash_attn": False}, (24, 12, 8)),
    ("gemma3-4b", {"n_ctx": 8192}, (24, 24)),
    ("qwen3moe-30b", {"n_ctx": 8192, "type_k": "q8_0", "type_v": "q8_0"}, (48, 24, 24, 16)),
    ("qwen3moe-30b", {"n_ctx": 8192, "n_cpu_moe": 12}, (24,)),
    ("deepseek-v2-lite", {"n_ctx": 8192}, (24,)),
    ("gpt-oss-20b", {"n_ctx": 8192, "n_ubatch": 128}, (24, 24)),
    ("minilm-l6", {}, (24,)),
)


class Recorder:
    """Runs a planner on files that have no weights."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runner = DryRunner()

    async def measure(self, model: str, options: LoadOptions, free: list[int]) -> MemoryEstimate:
        path = self._folder / f"{model}.gguf"
        if not path.exists():
            write_file(header_of(model), path)
        cards = [VirtualCard(name=f"CUDA{index}", free_bytes=size) for index, size in enumerate(free)]
        return await self._runner.measure(path, options, cards, replaceable=False)

    async def close(self) -> None:
        await self._runner.close()


def random_options(chance: random.Random, n_layer: int, n_cards: int) -> dict[str, Any]:
    """Return options that move memory, as a file would give them."""
    key = chance.choice(["f16", "f16", "q8_0", "q4_0", "bf16", "q5_1"])
    value = chance.choice([key, key, "f16"])
    overrides = chance.choice([[], [], [r"blk\.[0-5]\.ffn_down=CPU"], ["ffn_(up|gate)=CPU"]])
    split = [float(chance.choice([0, 1, 2, 3, 5.5])) for _ in range(n_cards)]
    return {
        "n_gpu_layers": chance.choice([0, 1, 2, *[chance.randint(0, n_layer + 1) for _ in range(4)], "auto"]),
        "n_ctx": chance.choice(["auto", 512, 4096, 5000, 16_384, 70_000]),
        "n_batch": chance.choice([512, 2048]),
        "n_ubatch": chance.choice([128, 512]),
        "type_k": key,
        "type_v": value,
        "flash_attn": chance.choice(["auto", True, False]) if value in {"f16", "bf16"} else True,
        "offload_kqv": chance.random() < 0.85,
        "op_offload": chance.random() < 0.8,
        "swa_full": chance.random() < 0.3,
        "n_seq_max": chance.choice([1, 2, 4, 7]),
        "kv_unified": chance.random() < 0.6,
        "n_outputs_max": chance.choice(["auto", 8, 64]),
        "tensor_split": split if chance.random() < 0.5 else [],
        "split_mode": chance.choice(["layer", "layer", "none"]),
        "main_gpu": chance.randint(0, max(n_cards - 1, 0)),
        "n_cpu_moe": chance.choice([0, 0, 3, 20, 1000]),
        "override_tensors": overrides,
    }


async def placements(recorder: Recorder) -> list[dict[str, Any]]:
    """Return weights and cache of every model under random options; RAM first, then each card."""
    rows = []
    for model in SHAPES:
        chance = random.Random(model)
        made = 0
        while made < PLACEMENTS_OF_EACH:
            free = [chance.randint(4, 96) * GIB for _ in range(chance.randint(0, 4))]
            options = random_options(chance, header_of(model).n_layer, len(free))
            try:
                found = await recorder.measure(model, msgspec.convert(options, LoadOptions), free)
            except EngineError as error:
                sys.stderr.write(f"{model}: {error}\n")
                continue
            made += 1
            row = {"model": model, "options": options, "free": free}
            row["weights"] = [device.weights_bytes for device in found.devices]
            row["kv"] = [device.kv_bytes for device in found.devices]
            rows.append(row)
    return rows


async def sweeps(recorder: Recorder) -> list[dict[str, Any]]:
    """Return compute buffers at every position of the slider, and those that a calibration asks for."""
    rows = []
    for model, changes, sizes in SWEEPS:
        free = [size * GIB for size in sizes]
        options = msgspec.convert(changes, LoadOptions)
        row: dict[str, Any] = {"model": model, "options": changes, "free": free, "compute": [], "probes": []}
        for n_gpu_layers in range(header_of(model).n_layer + 2):
            placed = msgspec.structs.replace(options, n_gpu_layers=n_gpu_layers)
            found = await recorder.measure(model, placed, free)
            row["compute"].append([device.compute_bytes for device in found.devices])
        devices = [Device(name=f"CUDA{index}", free_bytes=size) for index, size in enumerate(free)]
        calibration = Calibration(shape_of(header_of(model)), options, devices)
        while (probe := calibration.next_probe()) is not None:
            cards = [card.free_bytes or 0 for card in probe.cards]
            found = await recorder.measure(model, probe.options, cards)
            calibration.add(probe, found)
            shown = msgspec.to_builtins(probe.options)
            row["probes"].append(
                {
                    "n_gpu_layers": shown["n_gpu_layers"],
                    "tensor_split": shown.get("tensor_split", []),
                    "n_cards": len(cards),
                    "compute": [device.compute_bytes for device in found.devices],
                }
            )
        rows.append(row)
    return rows


async def main() -> None:
    """Print everything as JSON, a row on a line."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        try:
            found = {"placements": await placements(recorder), "sweeps": await sweeps(recorder)}
        finally:
            await recorder.close()
    version = json.dumps(importlib.metadata.version("llama-cpp-python"))
    parts = [
        f'"{name}": [\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"
        for name, rows in found.items()
    ]
    sys.stdout.write(f'{{"llama_cpp_python": {version},\n' + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    asyncio.run(main())
