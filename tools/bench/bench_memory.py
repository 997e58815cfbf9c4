"""How exact predicted memory is beside llama.cpp's dry runs on virtual cards, and what a prediction costs.

Every model of the tests is placed on one to four unequal cards under random settings. At most six dry runs
calibrate a setting; then positions of the slider that were not among them are predicted and measured.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.fit import best_placement, largest_context
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Calibration, Device, MemoryEstimate, ModelShape, predict, shape_of
from kobold_tui.domain.model import Header
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.engine.planner import DryRunner
from tools.bench.measure import Row, paired_ratio, seconds

GIB = 1 << 30
CARDS = {1: (80,), 2: (24, 16), 3: (24, 12, 8), 4: (48, 24, 24, 16)}
SETTINGS_OF_EACH = 1
HELD_OUT = 10
CLOSE_BYTES = 64 << 20
CLOSE_SHARE = 0.02
SEED = 2


def run() -> list[Row]:
    """Return rows for exactness by number of cards and by model, then for speed."""
    shapes = _model_shapes()
    rows = asyncio.run(_exactness(shapes))
    return [*rows, *_speed({name: make() for name, make in shapes.SHAPES.items()})]


def _model_shapes() -> Any:
    support = str(Path(__file__).parents[2] / "tests" / "support")
    if support not in sys.path:
        sys.path.append(support)
    return importlib.import_module("model_shapes")


@dataclass
class Tally:
    """Counts over held-out placements, and the largest error of a device in bytes."""

    placements: int = 0
    sizes_exact: int = 0
    exact: int = 0
    close: int = 0
    guessed: int = 0
    worst: int = 0

    def add(self, true: MemoryEstimate, found: MemoryEstimate, guess: MemoryEstimate) -> None:
        """Count one placement: weights and cache, all bytes, all bytes nearly, and the first guess nearly."""
        pairs = list(zip(true.devices, found.devices, strict=True))
        self.placements += 1
        self.sizes_exact += all(
            (a.weights_bytes, a.kv_bytes) == (b.weights_bytes, b.kv_bytes) for a, b in pairs
        )
        self.exact += all(a.compute_bytes == b.compute_bytes for a, b in pairs)
        self.close += _is_close(true, found)
        self.guessed += _is_close(true, guess)
        self.worst = max(self.worst, *(abs(a.compute_bytes - b.compute_bytes) for a, b in pairs))

    def __str__(self) -> str:
        n = max(self.placements, 1)
        return (
            f"{self.placements} placements: weights and cache exact {self.sizes_exact / n:.1%}, total exact "
            f"{self.exact / n:.1%}, close {self.close / n:.1%}, worst {self.worst / 2**20:.0f} MiB; "
            f"close before any dry run {self.guessed / n:.1%}"
        )


def _is_close(true: MemoryEstimate, found: MemoryEstimate) -> bool:
    """Whether every device is within 2 per cent or 64 MiB."""
    return all(
        abs(a.compute_bytes - b.compute_bytes) <= max(CLOSE_BYTES, CLOSE_SHARE * _buffers(a))
        for a, b in zip(true.devices, found.devices, strict=True)
    )


def _buffers(row: Any) -> int:
    return int(row.weights_bytes + row.kv_bytes + row.compute_bytes)


def _random_options(chance: random.Random) -> LoadOptions:
    kind = chance.choice(["f16", "f16", "q8_0"])
    flash: Any = chance.choice(["auto", "auto", False]) if kind == "f16" else True
    size = chance.choice([128, 512, 512, 2048])
    return LoadOptions(
        n_ctx=chance.choice([4096, 8192, 32_768, 131_072]),
        n_ubatch=size,
        n_batch=max(size, 512),
        type_k=kind,  # type: ignore[arg-type]  # chosen from its literals
        type_v=kind,  # type: ignore[arg-type]
        flash_attn=flash,
    )


class _Grid:
    """Measures settings one after another and keeps the counts."""

    def __init__(self, runner: DryRunner) -> None:
        self._runner = runner
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.refused = 0

    async def add(self, name: str, header: Header, path: Path) -> None:
        """Measure one model on every set of cards."""
        shape = shape_of(header)
        for n_cards, sizes in CARDS.items():
            chance = random.Random(f"{SEED} {name} {n_cards}")
            devices = [Device(name=f"CUDA{index}", free_bytes=size * GIB) for index, size in enumerate(sizes)]
            for _ in range(SETTINGS_OF_EACH):
                try:
                    await self._setting(name, shape, path, _random_options(chance), devices, chance)
                except EngineError:
                    self.refused += 1

    async def _setting(  # noqa: PLR0913, PLR0917 - what makes a setting
        self,
        name: str,
        shape: ModelShape,
        path: Path,
        options: LoadOptions,
        devices: list[Device],
        chance: random.Random,
    ) -> None:
        calibration, seen = Calibration(shape, options, devices), set()
        while (probe := calibration.next_probe()) is not None:
            calibration.add(probe, await self._measure(path, probe.options, probe.cards))
            if not probe.is_arranged:
                seen.add(probe.options.n_gpu_layers)
        left = [n for n in range(shape.n_units + 1) if n not in seen]
        for n_gpu_layers in chance.sample(left, min(HELD_OUT, len(left))):
            placed = msgspec.structs.replace(options, n_gpu_layers=n_gpu_layers)
            true = await self._measure(path, placed, tuple(devices))
            found = predict(shape, placed, devices, levels=calibration.levels)
            guess = predict(shape, placed, devices)
            for key in ("all", f"{len(devices)} cards", name):
                self.tallies[key].add(true, found, guess)

    async def _measure(self, path: Path, options: LoadOptions, cards: tuple[Device, ...]) -> MemoryEstimate:
        virtual = [VirtualCard(name=card.name, free_bytes=card.free_bytes or 0) for card in cards]
        return await self._runner.measure(path, options, virtual, replaceable=False)


async def _exactness(shapes: Any) -> list[Row]:
    runner = DryRunner()
    with tempfile.TemporaryDirectory() as folder:
        grid = _Grid(runner)
        try:
            for name, make in shapes.SHAPES.items():
                header = make()
                await grid.add(name, header, shapes.write_file(header, Path(folder, f"{name}.gguf")))
        finally:
            await runner.close()
    version = importlib.metadata.version("llama-cpp-python")
    rows = [Row("llama-cpp-python", f"{version}; {grid.refused} settings refused by it")]
    return rows + [Row(name, str(tally)) for name, tally in sorted(grid.tallies.items(), key=_order)]


def _order(row: tuple[str, Tally]) -> tuple[int, str]:
    return (0 if row[0] == "all" else 1 if row[0].endswith("cards") else 2), row[0]


def _fixed_work() -> int:
    """Take about a millisecond of plain Python: the scale that speeds are told on."""
    total = 0
    for number in range(20_000):
        total += number * number % 7
    return total


def _speed(headers: dict[str, Header]) -> list[Row]:
    shape = shape_of(headers["llama-70b"])
    devices = [Device(name=f"CUDA{index}", free_bytes=size * GIB) for index, size in enumerate(CARDS[3])]
    placements = [LoadOptions(n_ctx=8192, n_gpu_layers=n) for n in range(shape.n_units)]

    calibration = Calibration(shape, placements[0], devices)
    while (probe := calibration.next_probe()) is not None:
        calibration.add(probe, predict(shape, probe.options, probe.cards))

    def slide() -> None:
        for options in placements:
            predict(shape, options, devices)

    def slide_calibrated() -> None:
        for options in placements:
            predict(shape, options, devices, levels=calibration.levels)

    def search() -> None:
        found = best_placement(shape, LoadOptions(n_ctx=8192), devices)
        largest_context(shape, found.options, devices)

    found = min(seconds(search) for _ in range(5))
    return [
        _row("predict, llama-70b on 3 cards", slide, len(placements)),
        _row("the same with calibrated levels", slide_calibrated, len(placements)),
        Row(
            "search and largest context",
            f"{found * 1e3:.1f} ms, {paired_ratio(search, _fixed_work)} of a loop",
        ),
    ]


def _row(name: str, work: Callable[[], None], n_calls: int) -> Row:
    cost = min(seconds(work) for _ in range(5)) / n_calls
    return Row(
        name, f"{cost * 1e3:.3f} ms; {n_calls} calls {paired_ratio(work, _fixed_work)} of a fixed loop"
    )
