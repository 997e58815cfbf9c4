"""One benchmark: its placements one after another, as a stream of progress and runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec

from kobold_tui.domain.benchmark import BenchEvent, BenchPhase, BenchProgress, BenchRun, BenchSettings
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.services.benchmark_plan import BenchPlan
from kobold_tui.services.benchmark_trial import Instruments, Trial

Keep = Callable[[BenchRun], Awaitable[BenchRun]]
"""Stores a run and returns it, with a note where that failed."""


class BenchSession:
    """Measures what a plan holds; closing the stream ends the measurement and unloads the model."""

    def __init__(
        self, instruments: Instruments, spec: LoadSpec, settings: BenchSettings, plan: BenchPlan, keep: Keep
    ) -> None:
        self._instruments = instruments
        self._spec = spec
        self._settings = settings
        self._plan = plan
        self._keep = keep
        self._runs: list[BenchRun] = []
        self._events: asyncio.Queue[BenchEvent | None] = asyncio.Queue()

    async def run(self) -> AsyncGenerator[BenchEvent, None]:
        """Yield progress, and each run as it ends. Raises UsageError for a wish that is too large."""
        work = asyncio.create_task(self._work())
        try:
            while (event := await self._events.get()) is not None:
                yield event
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _work(self) -> None:
        try:
            await self._measure_all(self._plan.first())
            await self._measure_all(self._plan.more(self._runs))
        finally:
            self._events.put_nowait(None)

    async def _measure_all(self, placements: Sequence[LoadOptions]) -> None:
        n_trials = len(self._runs) + len(placements)
        for options in placements:
            if self._plan.is_pointless(options, self._runs):
                n_trials -= 1
                continue
            spec = msgspec.structs.replace(self._spec, options=options, idle_unload_seconds=0.0)
            trial = Trial(self._instruments, spec, self._settings, self._reporter(n_trials, options))
            run = await self._keep(await trial.measure())
            self._runs.append(run)
            self._events.put_nowait(run)

    def _reporter(
        self, n_trials: int, options: LoadOptions
    ) -> Callable[[BenchPhase, float | None, int], None]:
        """Return what turns reports into events, one for each percent at most."""
        begun = BenchProgress(trial=len(self._runs) + 1, n_trials=n_trials, options=options, phase="loading")
        told: set[tuple[object, ...]] = set()

        def report(phase: BenchPhase, fraction: float | None, repeat: int) -> None:
            percent = (phase, repeat, None if fraction is None else int(fraction * 100))
            if percent not in told:
                told.add(percent)
                progress = msgspec.structs.replace(begun, phase=phase, fraction=fraction, repeat=repeat)
                self._events.put_nowait(progress)

        return report
