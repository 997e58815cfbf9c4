"""Exact memory figures from a dry run in a process of its own, for this machine's cards or any others.

Planning on virtual cards has a process that stays warm while it is asked and ends when it has not been for a
while. The real cards get a short-lived one, because it holds a context on each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard
from kobold_tui.engine.planner_lane import DEFAULT_DEADLINES, Job, Lane, PlannerDeadlines, SupersededError
from kobold_tui.engine.spawn import DEFAULT_LAUNCH, Launch, without_cards

__all__ = ["DryRunner", "PlannerDeadlines", "SupersededError", "probe_planner"]


class DryRunner:
    """Measures one request after another; made and used on one loop."""

    def __init__(
        self, *, launch: Launch = DEFAULT_LAUNCH, deadlines: PlannerDeadlines = DEFAULT_DEADLINES
    ) -> None:
        self._virtual = Lane(_with_role(launch, "virtual"), deadlines)
        self._real = Lane(_with_role(launch, "real"), deadlines, fallback=_with_role(launch, "log"))

    @property
    def pid(self) -> int | None:
        """The process that plans for virtual cards, None while there is none."""
        return self._virtual.pid

    async def measure(
        self,
        model: LoadSpec | str | Path,
        options: LoadOptions | None = None,
        cards: Sequence[VirtualCard] | None = None,
        *,
        replaceable: bool = True,
    ) -> MemoryEstimate:
        """Return what loading a model would take on `cards`, or on this machine's where these are None.

        The host comes first, then each card in order. `options` take the place of the spec's. A replaceable
        request that waits raises `SupersededError` when a newer replaceable one comes. Raises EngineError
        where the model would not load, or the dry run failed.
        """
        spec = model if isinstance(model, LoadSpec) else LoadSpec(path=str(model))
        if options is not None:
            spec = msgspec.structs.replace(spec, options=options)
        lane = self._real if cards is None else self._virtual
        planned = None if cards is None else tuple(cards)
        return await lane.measure(Job(spec, planned, replaceable=replaceable))

    async def capabilities(self) -> PlannerCapabilities:
        """Return what dry runs can tell with this llama.cpp build; a planner is started to find out."""
        return await self._virtual.capabilities()

    async def close(self) -> None:
        """End all processes; requests that wait raise EngineError."""
        await asyncio.gather(self._virtual.close(), self._real.close())


def _with_role(launch: Launch, role: str) -> Launch:
    """Return how a planner is launched; only one for real cards sees them."""
    chosen = without_cards(launch) if role == "virtual" else launch
    return msgspec.structs.replace(chosen, arguments=(*launch.arguments, "--planner", role))


async def probe_planner(
    launch: Launch = DEFAULT_LAUNCH, deadlines: PlannerDeadlines = DEFAULT_DEADLINES
) -> PlannerCapabilities:
    """Start a planner only to hear what its self-test found, and end it."""
    runner = DryRunner(launch=launch, deadlines=deadlines)
    try:
        return await runner.capabilities()
    finally:
        await runner.close()
