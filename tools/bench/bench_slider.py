"""What a step of the gpulayers slider costs the loop that draws, and how much of it goes to the terminal.

The program runs without a terminal over a header of 80 layers and two cards. A step is a key press up to the
picture that shows it: handlers, estimate, redrawing and what is written; dry runs are not part of it. The
reference is a fixed loop of arithmetic, timed by turns with the steps.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tools.bench.measure import Row

SIZE = (120, 40)
STEPS = 60
PATIENCE_SECONDS = 30.0


def run() -> list[Row]:
    """Return rows for a step: milliseconds of CPU, the ratio to a fixed loop, and bytes written."""
    with _support():
        costs, ratios, sizes = asyncio.run(_measure())
    middle, worst = statistics.median(costs) * 1000, sorted(costs)[int(len(costs) * 0.95)] * 1000
    return [
        Row("slider step, CPU of the loop", f"{middle:.1f} ms (95 %: {worst:.1f} ms)"),
        Row("slider step / 10,000 additions", f"{statistics.median(ratios):.1f}x"),
        Row("slider step, bytes to the terminal", f"{statistics.median(sizes):,.0f} (most {max(sizes):,})"),
    ]


@contextmanager
def _support() -> Iterator[None]:
    """Let the worlds of the tests be imported."""
    folder = str(Path(__file__).parents[2] / "tests" / "support")
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


async def _measure() -> tuple[list[float], list[float], list[int]]:
    from fake_world import GIB, World, model
    from model_shapes import header_of

    from kobold_tui.domain.gpu import GpuSnapshot
    from kobold_tui.tui.app import KoboldApp
    from kobold_tui.tui.registry import find_panes

    cards = tuple(
        GpuSnapshot(
            index=index,
            uuid=f"GPU-{index}",
            name="A100",
            memory_total_bytes=80 * GIB,
            memory_used_bytes=0,
            memory_free_bytes=free * GIB,
        )
        for index, free in [(0, 78), (1, 22)]
    )
    entry = model("Llama 70B", size_bytes=40 * GIB)
    world = World([entry], gpus=cards)
    world.accelerators = ("CUDA",)
    world.headers[entry.path] = header_of("llama-70b")
    backend = world.backend()
    app = KoboldApp(world.context(backend), find_panes())
    try:
        async with app.run_test(size=SIZE) as pilot:
            return await _steps(pilot)
    finally:
        await backend.close()


async def _steps(pilot: Pilot[int]) -> tuple[list[float], list[float], list[int]]:
    from kobold_tui.tui.screens.workbench import Workbench
    from kobold_tui.tui.widgets.slider import Slider

    bench = pilot.app.screen
    assert isinstance(bench, Workbench)
    await pilot.press("f5")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while bench.tuning is None or bench.tuning.best is None or not isinstance(bench.focused, Slider):
            await pilot.pause(0.05)
    written = _Written(pilot)
    costs: list[float] = []
    ratios: list[float] = []
    sizes: list[int] = []
    slider = bench.focused
    assert isinstance(slider, Slider)
    for _ in range(STEPS):
        written.take()
        began = time.thread_time()
        slider.action_step(-1)
        await pilot.pause()
        costs.append(time.thread_time() - began)
        sizes.append(written.take())
        ratios.append(costs[-1] / _reference())
    return costs, ratios, sizes


class _Written:
    """Counts what the pictures of a screen would write to a terminal; the counting is part of the cost."""

    def __init__(self, pilot: Pilot[int]) -> None:
        self._count = 0
        compositor: Any = pilot.app.screen._compositor  # noqa: SLF001 - nothing public tells what is written
        before, console = compositor.render_update, pilot.app.console

        def render_update(*args: Any, **options: Any) -> Any:
            update = before(*args, **options)
            if hasattr(update, "render_segments"):
                self._count += len(update.render_segments(console).encode())
            return update

        compositor.render_update = render_update

    def take(self) -> int:
        """Return how many bytes there were since the last time."""
        count, self._count = self._count, 0
        return count


def _reference() -> float:
    began, total = time.thread_time(), 0
    for number in range(10_000):
        total += number
    return max(time.thread_time() - began, 1e-9)


if __name__ == "__main__":
    for row in run():
        print(f"{row.name:40} {row.value}")
