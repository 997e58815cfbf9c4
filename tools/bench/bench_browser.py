"""How long the model browser with a thousand files holds up the loop that draws, and what its keys cost.

A probe wakes up in the loop every few milliseconds and notes how late it was, and how much CPU time the
loop's thread took meanwhile: on a machine that others use too, only the second is the program's own. The
whole program runs with its real catalogue: over no files, over new ones, and over known ones with somebody
who types, sorts and groups.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from textual.pilot import Pilot

from kobold_tui.services.options import StartOptions
from tools.bench.bench_catalogue import FILES, write_models
from tools.bench.measure import Row

SIZE = (120, 40)
PROBE_SECONDS = 0.002
PATIENCE_SECONDS = 60.0
WORDS = "model 99"


class Waits(NamedTuple):
    """How late the probe was, and the CPU time of the thread between two wake-ups, in seconds."""

    longest: float
    longest_cpu: float
    over_50_ms: int
    seconds: float

    def words(self) -> str:
        """Return them as text."""
        cpu, wall = self.longest_cpu * 1000, self.longest * 1000
        late = f"{self.over_50_ms} over 50 ms in {self.seconds:.1f} s"
        return f"longest {cpu:3.0f} ms CPU, {wall:3.0f} ms wall, {late}"


class Probe:
    """Notes how late it wakes up, for as long as it runs."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
        self._began = time.monotonic()

    async def run(self) -> None:
        """Wake up again and again."""
        while True:
            asked, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(PROBE_SECONDS)
            self._late.append((time.monotonic() - asked - PROBE_SECONDS, time.thread_time() - cpu))

    def take(self) -> Waits:
        """Return what was noted since the last time."""
        late, self._late = self._late, []
        began, self._began = self._began, time.monotonic()
        longest = max((wall for wall, _ in late), default=0.0)
        cpu = max((cpu for _, cpu in late), default=0.0)
        return Waits(longest, cpu, sum(wall > 0.05 for wall, _ in late), self._began - began)


def run() -> list[Row]:
    """Return rows for the start with and without files, and for the keys of the list."""
    with tempfile.TemporaryDirectory() as folder, _environment(Path(folder, "home")):
        models, empty = Path(folder, "models"), Path(folder, "empty")
        write_models(models)
        empty.mkdir()
        nothing, _ = asyncio.run(_start(empty, 0, _wait_a_second))
        cold, _ = asyncio.run(_start(models, FILES, _wait_a_second))
        warm, keys = asyncio.run(_start(models, FILES, _use_keys))
    return [
        Row("start over an empty folder", nothing.words()),
        Row(f"start over {FILES:,} new files", f"{cold.words()}; {_ratio(cold, nothing)}"),
        Row(f"start over {FILES:,} known files", f"{warm.words()}; {_ratio(warm, nothing)}"),
        *(Row(name, waits.words()) for name, waits in keys),
    ]


def _ratio(waits: Waits, base: Waits) -> str:
    return f"{waits.longest_cpu / max(base.longest_cpu, 1e-6):.1f}x CPU of the empty folder"


Keys = list[tuple[str, Waits]]


async def _start(
    folder: Path, count: int, use: Callable[[Pilot[int], Probe], Awaitable[Keys]]
) -> tuple[Waits, Keys]:
    """Start the program over a folder; returns the waits until all rows are there, and those of `use`."""
    gc.freeze()  # as the program does before it runs
    async with _program(folder) as pilot:
        probe = Probe()
        task = asyncio.create_task(probe.run())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while _models_of(pilot) < count:  # noqa: ASYNC110 - the list sets no event of ours
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        waits = probe.take()
        keys = await use(pilot, probe)
        task.cancel()
        return waits, keys


async def _wait_a_second(_pilot: Pilot[int], _probe: Probe) -> Keys:
    await asyncio.sleep(1.0)
    return []


async def _use_keys(pilot: Pilot[int], probe: Probe) -> Keys:
    await asyncio.sleep(3.0)
    found: Keys = [("the list at rest", probe.take())]
    for name, keys in {
        f"typing {WORDS!r} into the filter": ("slash", *WORDS, "enter", "escape"),
        "going through all orders": ("s",) * 10,
        "grouping": ("g", "g", "g"),
        "scrolling by pages": ("pagedown",) * 20,
    }.items():
        probe.take()
        for key in keys:
            await pilot.press(key)
        found.append((name, probe.take()))
    return found


@contextlib.asynccontextmanager
async def _program(folder: Path) -> AsyncIterator[Pilot[int]]:
    from kobold_tui.bootstrap import open_services, open_settings
    from kobold_tui.services.backend_thread import BackendThread
    from kobold_tui.services.registry import Services
    from kobold_tui.tui.start import build_app

    options = StartOptions(models_dirs=(str(folder),))
    backend: BackendThread[Services] = BackendThread(lambda: open_services(options))
    backend.start()
    try:
        async with build_app(backend, options, *open_settings(options)).run_test(size=SIZE) as pilot:
            yield pilot
    finally:
        await backend.close()


def _models_of(pilot: Pilot[int]) -> int:
    from kobold_tui.tui.widgets.row_list import RowList

    lists = pilot.app.screen.query("#models-list").results(RowList)
    return sum(getattr(row, "path", "").endswith("Q8_0.gguf") for rows in lists for row in rows.items)


@contextlib.contextmanager
def _environment(home: Path) -> Iterator[None]:
    """Have a home with nothing in it, so that only our files are found."""
    wanted = {"HOME": str(home), "KOBOLD_TUI_HOME": str(home / "state"), "HF_HOME": str(home / "hub")}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
