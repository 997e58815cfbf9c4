"""How to lay layers out on many virtual cards, so that one dry run shows many parts of the graph."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from kobold_tui.domain.memory.graph_class import GraphClass, Labels, class_of_region, twin_of

MAX_CARDS = 15
"""One fewer than ggml's scheduler has places for (`GGML_SCHED_MAX_BACKENDS`): the CPU takes one."""

_REACH = 16
_SHORTEST_TWIN = 2
Region = tuple[int, int]


class Arrangement:
    """Regions of units, one for each card, from the first unit that is on a card to the output.

    `wanted` are the classes that cards other than the first are to show, each with a region that has it and
    how much it is wanted. Units are the blocks, then the output as number `n_layer`.
    """

    def __init__(self, labels: Labels, n_layer: int, wanted: Mapping[GraphClass, tuple[Region, int]]) -> None:
        self._labels = labels
        self._n_layer = n_layer
        self._wanted = sorted(wanted, key=lambda kind: (-wanted[kind][1], wanted[kind][0]))
        self._regions = {kind: region for kind, (region, _) in wanted.items()}
        self._weights = {kind: weight for kind, (_, weight) in wanted.items()}

    def regions(self, first: Region) -> list[Region]:
        """Return the regions of all cards, beginning with that of the first card."""
        begin = first[1]
        if begin > self._n_layer:
            return [first]
        tail = self._tail(begin)
        regions = [first, *self._middle(begin, tail[0][0])]
        cursor = regions[-1][1]
        if cursor < tail[0][0]:
            regions.append((cursor, tail[0][0]))
        return regions + tail

    def _tail(self, begin: int) -> list[Region]:
        """Return the last card's region, or the last two's: a card may have the output alone."""
        end = self._n_layer + 1
        for last, stop, _ in self.tails:
            if last >= begin:
                return [(last, stop)] if stop == end else [(last, stop), (stop, end)]
        return [(begin, end)]

    @functools.cached_property
    def tails(self) -> list[tuple[int, int, int]]:
        """Wanted regions at the end of the model with weights, as short as their class allows."""
        end = self._n_layer + 1
        tails = []
        for kind in self._wanted:
            first, stop = self._regions[kind]
            if stop >= self._n_layer:
                last = next(a for a in range(stop - (stop == end), first - 1, -1) if self._is(kind, a, stop))
                tails.append((last, stop, self._weights[kind]))
        return tails

    def _middle(self, begin: int, end: int) -> list[Region]:
        regions: list[Region] = []
        cursor = begin
        for kind in self._wanted:
            if len(regions) > MAX_CARDS - 5:
                break
            region = self._place(kind, cursor, end)
            if region is None:
                continue
            if region[0] > cursor:
                regions.append((cursor, region[0]))
            regions.append(region)
            cursor = region[1]
        return regions

    def _place(self, kind: GraphClass, begin: int, end: int) -> Region | None:
        """Return the first place for a class, or for its twin in the middle of the model."""
        first, stop = self._regions[kind]
        if stop >= self._n_layer:
            kind = twin_of(kind)
            length = min(stop, self._n_layer) - first
            if length < _SHORTEST_TWIN:
                return None
        else:
            length = next(b for b in range(first + 1, stop + 1) if self._is(kind, first, b)) - first
        starts = range(begin, min(begin + _REACH, end - length + 1))
        return next(((a, a + length) for a in starts if self._is(kind, a, a + length)), None)

    def _is(self, kind: GraphClass, begin: int, end: int) -> bool:
        return class_of_region(self._labels, self._n_layer, (begin, end)) == kind
