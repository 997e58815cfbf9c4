"""Whose processes the driver lists: names, users, and which of our instances.

In a container the driver can give the host's numbers of processes, which mean others or nobody in our list.
A number is joined only with evidence:

1. Outside of containers (our pid namespace is the machine's first) a number of our list is that process.
2. In a container the numbers are taken for ours while each one that the driver gives exists in our list, and
   then only for processes that have an NVIDIA device open. One that has been verified stays so until it ends.
3. Otherwise it is an unknown process: no name, no user, not verified. Which instance it is can still be
   known: by another number of our worker that /proc tells (NSpid), or because it appeared in step with it:
   it was the only new number in the ten seconds around the one time that a worker opened a card.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot
from kobold_tui.hardware.process_files import ProcessFacts, ProcessFiles

STEP_SECONDS = 10.0

K = TypeVar("K")


class ProcessOwners:
    """Joins processes on cards with our list of processes, from one reading to the next."""

    def __init__(self, files: ProcessFiles, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._is_machines_own = files.is_machines_own_list()
        self._verified: dict[int, ProcessFacts] = {}
        self._steps = InStep(clock)

    def join(self, gpus: Iterable[GpuSnapshot], workers: Mapping[str, int]) -> tuple[GpuSnapshot, ...]:
        """Return the cards with their processes named; `workers` are process ids by instance."""
        cards = tuple(gpus)
        numbers = {process.pid for card in cards for process in _all_processes(card)}
        self._verified = self._verify(numbers)
        instances = self._instances(numbers, workers)
        return tuple(self._joined(card, instances) for card in cards)

    def _verify(self, numbers: set[int]) -> dict[int, ProcessFacts]:
        """Return the numbers that are processes of our list, by the rules 1 and 2."""
        known = {pid: facts for pid in numbers if (facts := self._files.facts(pid))}
        if self._is_machines_own:
            return known
        before = {pid for pid, facts in known.items() if self._is_as_before(pid, facts)}
        is_ours = len(known) == len(numbers)
        return {
            pid: facts
            for pid, facts in known.items()
            if pid in before or (is_ours and self._files.has_card_open(pid))
        }

    def _is_as_before(self, pid: int, facts: ProcessFacts) -> bool:
        return pid in self._verified and self._verified[pid].started == facts.started

    def _instances(self, numbers: set[int], workers: Mapping[str, int]) -> dict[int, str]:
        own = {pid: name for name, pid in workers.items() if pid in self._verified}
        aliases = {
            number: name
            for name, pid in workers.items()
            for number in self._files.numbers(pid) - {pid}
            if number in numbers and number not in self._verified
        }
        if self._is_machines_own:
            return {**aliases, **own}
        found = {*own.values(), *aliases.values()}
        strangers = numbers - self._verified.keys() - aliases.keys()
        waiting = {
            name for name, pid in workers.items() if name not in found and self._files.has_card_open(pid)
        }
        return {**self._steps.update(strangers, waiting), **aliases, **own}

    def _joined(self, card: GpuSnapshot, instances: Mapping[int, str]) -> GpuSnapshot:
        slices = tuple(
            msgspec.structs.replace(found, processes=self._named(found.processes, instances))
            for found in card.mig_instances
        )
        return msgspec.structs.replace(
            card, processes=self._named(card.processes, instances), mig_instances=slices
        )

    def _named(self, processes: Iterable[GpuProcess], instances: Mapping[int, str]) -> tuple[GpuProcess, ...]:
        named = []
        for process in processes:
            facts = self._verified.get(process.pid)
            named.append(
                msgspec.structs.replace(
                    process,
                    name=facts.name if facts else None,
                    user=facts.user if facts else None,
                    instance=instances.get(process.pid),
                    is_verified=facts is not None,
                )
            )
        return tuple(named)


class InStep:
    """Joins numbers of another list with our workers by the moment at which both appeared."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[int, float] | None = None
        self._opened: dict[str, float] = {}
        self._joined: dict[str, int] = {}
        self._given_up: set[str] = set()

    def update(self, numbers: set[int], waiting: set[str]) -> dict[int, str]:
        """Return instances by number; `waiting` are workers with a card open that have no number otherwise.

        What was there at the first look is nobody's. A worker is given up for good when a second number or a
        second worker appears within the same ten seconds.
        """
        now = self._clock()
        before = dict.fromkeys(numbers, float("-inf")) if self._seen is None else self._seen
        self._seen = {number: before.get(number, now) for number in numbers}
        self._opened = {name: self._opened.get(name, now) for name in waiting}
        self._given_up = {name for name in waiting if name in self._given_up or self._is_crowded(name)}
        kept = {name: n for name, n in self._joined.items() if name in waiting and n in numbers}
        found = {name: n for name in waiting for n in self._near(name, self._seen)}
        self._joined = {name: n for name, n in {**found, **kept}.items() if name not in self._given_up}
        return {number: name for name, number in self._joined.items()}

    def _is_crowded(self, name: str) -> bool:
        """Whether more than one number or worker appeared around the time of this worker."""
        return len(self._near(name, self._seen or {})) > 1 or len(self._near(name, self._opened)) > 1

    def _near(self, name: str, appeared: Mapping[K, float]) -> list[K]:
        moment = self._opened[name]
        return [key for key, since in appeared.items() if abs(since - moment) <= STEP_SECONDS]


def _all_processes(card: GpuSnapshot) -> tuple[GpuProcess, ...]:
    return (*card.processes, *(process for found in card.mig_instances for process in found.processes))
