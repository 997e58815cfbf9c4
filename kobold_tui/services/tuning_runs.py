"""Dry runs that are made once: their figures are kept by file, options, cards and llama.cpp build.

On virtual cards they depend on nothing else. Those for the real cards are made afresh each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Calibration, ComputeLevels, Device, MemoryEstimate
from kobold_tui.domain.memory.levels import setting_of
from kobold_tui.domain.memory.plan import plan_of
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.tuning_model import TuningModel, virtual_cards

KEPT_LEVELS = 64


class Runner(Protocol):
    """Dry runs, one after another; a newer one takes the place of those that wait."""

    async def measure(
        self,
        model: LoadSpec,
        options: LoadOptions | None = None,
        cards: Sequence[VirtualCard] | None = None,
        *,
        replaceable: bool = True,
    ) -> MemoryEstimate:
        """Return what loading would take, on virtual cards or on those of this machine."""
        ...

    async def capabilities(self) -> PlannerCapabilities:
        """Return what dry runs can tell here."""
        ...

    async def close(self) -> None:
        """End all processes."""
        ...


class Results(Protocol):
    """Where figures are kept from one start of the program to the next; every call may block."""

    def find(self, key: str) -> MemoryEstimate | None:
        """Return figures."""
        ...

    def keep(self, found: Mapping[str, MemoryEstimate]) -> None:
        """Keep figures."""
        ...


class NoResults:
    """Keeps nothing."""

    def find(self, key: str) -> MemoryEstimate | None:  # noqa: ARG002 - as the protocol has it
        """Return None."""
        return None

    def keep(self, found: Mapping[str, MemoryEstimate]) -> None:
        """Let figures go."""


class DryRuns:
    """Makes dry runs, and few of them: what is known already is not asked again.

    `library()` names the build of llama.cpp that makes them.
    """

    def __init__(
        self, runner: Runner, results: Results, thread: OwnThread, library: Callable[[], str]
    ) -> None:
        self._runner = runner
        self._results = results
        self._thread = thread
        self._library = library
        self._levels: dict[str, ComputeLevels] = {}

    async def measure(
        self,
        model: TuningModel,
        options: LoadOptions,
        cards: tuple[VirtualCard, ...] | None,
        *,
        replaceable: bool = True,
    ) -> MemoryEstimate:
        """Return exact figures. Raises EngineError where there are none."""
        if cards is None or model.stamp is None:
            return await self._runner.measure(model.spec, options, cards, replaceable=replaceable)
        key = self._key(model, options, cards)
        found = await self._thread.call(self._results.find, key)
        if found is None:
            found = await self._runner.measure(model.spec, options, cards, replaceable=replaceable)
            await self._thread.call(self._results.keep, {key: found})
        return found

    async def calibrate(
        self, model: TuningModel, options: LoadOptions, devices: Sequence[Device]
    ) -> ComputeLevels:
        """Return what a few dry runs tell about the compute buffers of a setting, all placements together.

        A dry run that fails ends the calibration; what was learned before it counts.
        """
        key = _setting_key(model, options, devices)
        if key in self._levels:
            return self._levels[key]
        can = await self.capabilities()
        if not can.virtual_cards:
            return ComputeLevels()
        work = Calibration(model.shape, options, devices, embedding=model.spec.embedding)
        try:
            while (probe := work.next_probe()) is not None:
                cards = virtual_cards(probe.cards)
                work.add(probe, await self.measure(model, probe.options, cards, replaceable=False))
        except EngineError:
            return work.levels
        if len(self._levels) >= KEPT_LEVELS:
            self._levels.pop(next(iter(self._levels)))
        self._levels[key] = work.levels
        return work.levels

    async def capabilities(self) -> PlannerCapabilities:
        """Return what dry runs can tell here."""
        return await self._runner.capabilities()

    async def close(self) -> None:
        """End all processes."""
        await self._runner.close()

    def _key(self, model: TuningModel, options: LoadOptions, cards: tuple[VirtualCard, ...]) -> str:
        """Return what the figures depend on; free memory counts only where it decides about the split."""
        is_split_by_room = len(cards) > 1 and not any(options.tensor_split)
        places = cards if is_split_by_room else tuple(card.name for card in cards)
        plain = msgspec.structs.replace(options, n_threads="auto", n_threads_batch="auto")
        facts = (self._library(), _identity(model), plain, places)
        return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _identity(model: TuningModel) -> tuple[object, ...]:
    return model.spec.path, model.stamp, model.files, model.spec.embedding


def _setting_key(model: TuningModel, options: LoadOptions, devices: Sequence[Device]) -> str:
    """Return what the levels of a setting depend on: not the layers, but the cards that share them."""
    plan = plan_of(model.shape, options, devices, embedding=model.spec.embedding)
    setting = setting_of(plan)
    facts = (_identity(model), setting, plan.used, options.tensor_split, options.split_mode)
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
