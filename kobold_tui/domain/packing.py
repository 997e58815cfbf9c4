"""Whole layers onto cards of limited memory, filled one after another as llama.cpp assigns them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import (
    ComputeLevels,
    Device,
    DeviceMemory,
    ExtraFiles,
    MemoryEstimate,
    ModelShape,
    predict,
)
from kobold_tui.domain.memory.buffers import layout_of
from kobold_tui.domain.memory.plan import Plan, plan_of
from kobold_tui.domain.memory.unit_bytes import running_units

Packed = tuple[LoadOptions, MemoryEstimate]

_ROUNDS = 4
_NEIGHBOURS = 3


class Packer:
    """Finds how many layers fit, and on which card; `correct` lets dry runs put its figures right."""

    def __init__(
        self,
        shape: ModelShape,
        devices: Sequence[Device],
        *,
        levels: ComputeLevels | None = None,
        files: ExtraFiles | None = None,
    ) -> None:
        self._shape = shape
        self._devices = tuple(devices)
        self._levels = levels
        self._files = files
        self._corrections: dict[str, int] = {}

    def predict(self, options: LoadOptions) -> MemoryEstimate:
        """Return the prediction for some options, with what dry runs have added."""
        estimate = predict(self._shape, options, self._devices, levels=self._levels, files=self._files)
        if not self._corrections:
            return estimate
        rows = tuple(self._corrected(row) for row in estimate.devices)
        return msgspec.structs.replace(estimate, devices=rows)

    def _corrected(self, row: DeviceMemory) -> DeviceMemory:
        more = self._corrections.get(row.name, 0) if _buffers(row) else 0
        return msgspec.structs.replace(row, compute_bytes=max(row.compute_bytes + more, 0))

    def correct(self, predicted: MemoryEstimate, exact: MemoryEstimate, *, least: int | None) -> None:
        """Count from now on what a dry run showed beside the prediction.

        With `least` a card that was too full gets at least that much more, so that the next answer differs.
        """
        sizes = {row.name: _buffers(row) for row in exact.devices}
        for row in predicted.devices:
            own = _buffers(row)
            more = sizes.get(row.name, own) - own
            if least is not None:
                more = max(more, least if row.total_bytes else 0)
            self._corrections[row.name] = self._corrections.get(row.name, 0) + more

    def pack(self, options: LoadOptions, n_gpu_layers: int) -> Packed | None:
        """Return options with exactly so many layers on the cards, None where they do not fit."""
        changed = msgspec.structs.replace(options, n_gpu_layers=n_gpu_layers)
        plan = plan_of(self._shape, changed, self._devices)
        if not plan.chosen:
            return None
        if len(plan.chosen) == 1 or options.tensor_split:
            estimate = self.predict(changed)
            return (changed, estimate) if estimate.fits else None
        return self._fill(changed, plan)

    def _fill(self, options: LoadOptions, plan: Plan) -> Packed | None:
        """Fill the cards in order; what the graph needs on each is learned from one attempt to the next."""
        units = self._units(options, plan)
        cards = plan.used
        graphs = [0] * len(cards)
        tried: set[tuple[int, ...]] = set()
        for _ in range(_ROUNDS):
            counts = self._counts(units, cards, graphs, plan.assignment.n_gpu_layers)
            if counts is None or counts in tried:
                return None
            tried.add(counts)
            split = tuple(float(count) for count in counts)
            estimate = self.predict(msgspec.structs.replace(options, tensor_split=split))
            if estimate.fits:
                return msgspec.structs.replace(options, tensor_split=split), estimate
            rows = [estimate.cards[index] for index in plan.chosen]
            graphs = [max(known, _beside(row)) for known, row in zip(graphs, rows, strict=True)]
        return None

    def _units(self, options: LoadOptions, plan: Plan) -> tuple[int, ...]:
        layout = layout_of(plan.used[0].backend)
        return running_units(self._shape, layout, plan.sizes, options.override_tensors, options.n_cpu_moe)

    def _counts(
        self, units: tuple[int, ...], cards: Sequence[Device], graphs: list[int], n_gpu_layers: int
    ) -> tuple[int, ...] | None:
        """Return how many units each card takes, None where some are left over."""
        begin = self._shape.n_units - n_gpu_layers
        counts = []
        for card, graph in zip(cards, graphs, strict=True):
            if card.free_bytes is None:
                end = self._shape.n_units
            else:
                room = card.free_bytes - card.reserve_bytes - card.overhead_bytes - graph
                end = max(bisect_right(units, units[begin] + room) - 1, begin) if room > 0 else begin
            counts.append(min(end, self._shape.n_units) - begin)
            begin += counts[-1]
        return tuple(counts) if begin == self._shape.n_units else None

    def fewest_experts_in_ram(self, options: LoadOptions) -> Packed | None:
        """Return options with all layers on the cards and the experts of as few as needed in RAM."""
        low, high = options.n_cpu_moe + 1, self._shape.n_layer
        best = self._with_experts(options, high)
        if best is None:
            return None
        while low < high:
            middle = (low + high) // 2
            found = self._with_experts(options, middle)
            if found is None:
                low = middle + 1
            else:
                high, best = middle, found
        return best

    def _with_experts(self, options: LoadOptions, n_cpu_moe: int) -> Packed | None:
        return self.pack(msgspec.structs.replace(options, n_cpu_moe=n_cpu_moe), self._shape.n_units)

    def most_layers(self, options: LoadOptions) -> Packed | None:
        """Return options with as many layers on the cards as fit; with experts, all of these stay in RAM.

        What a card needs does not always grow with the layers, so a few more are tried than bisection finds.
        """
        if self._shape.has_experts:
            options = msgspec.structs.replace(options, n_cpu_moe=max(options.n_cpu_moe, self._shape.n_layer))
        low, high = 0, self._shape.n_layer
        best: Packed | None = None
        while low < high:
            middle = (low + high + 1) // 2
            found = self.pack(options, middle)
            if found is None:
                high = middle - 1
            else:
                low, best = middle, found
        for more in range(low + 2, min(low + 2 + _NEIGHBOURS, self._shape.n_layer + 1)):
            best = self.pack(options, more) or best
        return best


def _buffers(row: DeviceMemory) -> int:
    """Return what a dry run counts."""
    return row.weights_bytes + row.kv_bytes + row.compute_bytes


def _beside(row: DeviceMemory) -> int:
    """Return what a card needs beside weights and cache, apart from the overhead that is known before."""
    return row.total_bytes - row.weights_bytes - row.kv_bytes - row.overhead_bytes
