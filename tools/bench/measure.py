"""Ratios that hold on a noisy machine: two things are timed by turns, and each pair gives one ratio."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Row(NamedTuple):
    """A line of the report: what was measured, and its value in words."""

    name: str
    value: str


class Ratio(NamedTuple):
    """How many times as long `a` takes as `b`: the median of all pairs, their lowest and highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.1f}x  ({self.low:.1f} to {self.high:.1f})"


class Cost(NamedTuple):
    """What a piece of work took: seconds on the wall and of CPU time."""

    seconds: float
    cpu_seconds: float


class Share:
    """The share of a reference's speed that something reaches, from pairs of (its cost, reference's cost)."""

    def __init__(self, pairs: Sequence[tuple[Cost, Cost]]) -> None:
        self._own_seconds = statistics.median(own.seconds for own, _ in pairs)
        self._walls = [reference.seconds / own.seconds for own, reference in pairs]
        self._cpus = [reference.cpu_seconds / own.cpu_seconds for own, reference in pairs]

    def rate(self, amount: float) -> str:
        """Return the median of `amount` a second, in words."""
        return f"{amount / self._own_seconds:,.0f}"

    @property
    def wall(self) -> float:
        """The share by the clock, as the median of the pairs."""
        return statistics.median(self._walls)

    def __str__(self) -> str:
        wall, cpu = self.wall, statistics.median(self._cpus)
        return f"{wall:.1%} ({min(self._walls):.0%} to {max(self._walls):.0%}), by CPU time {cpu:.1%},"


def alternate(a: Callable[[], A], b: Callable[[], B], pairs: int = 7) -> list[tuple[A, B]]:
    """Call `a` and `b` by turns and return what they measured; one pair before that warms up.

    Every second pair begins with `b`, so that a machine that slows down or speeds up favours neither.
    """
    a()
    b()
    measured = []
    for number in range(pairs):
        if number % 2:
            second, first = b(), a()
        else:
            first, second = a(), b()
        measured.append((first, second))
    return measured


def paired_ratio(a: Callable[[], object], b: Callable[[], object], pairs: int = 7) -> Ratio:
    """Time `a` and `b` by turns and return the ratio of their durations; one pair before that warms up."""
    seconds(a)
    seconds(b)
    ratios = [seconds(a) / max(seconds(b), 1e-9) for _ in range(pairs)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def quiet_program(command: Sequence[str], environ: dict[str, str] | None = None) -> Callable[[], None]:
    """Return a function that runs a program to its end, output thrown away; fails where the program fails."""

    def run() -> None:
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)

    return run
