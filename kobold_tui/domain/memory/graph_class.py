"""When two devices need the same compute buffer: by what of the graph runs on them.

The buffer of a device is the peak of the part of the graph that runs there. That peak is reached within a few
neighbouring blocks, so it depends on which short runs of kinds of blocks a device has, not on how many. The
first card is special: it also computes for the blocks in RAM, whose weights are copied in one after another.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Hashable, Sequence

import msgspec

from kobold_tui.domain.memory.overrides import target_of
from kobold_tui.domain.memory.plan import Plan
from kobold_tui.domain.memory.shape import ModelShape

_LONGEST_RUN = 3
_LONGEST_RUN_WITH_STATE = 4

NOTHING = ("other", False, False, 0)
"""Frame of a card that computes nothing."""


class GraphClass(msgspec.Struct, frozen=True, array_like=True):
    """Devices of one class need the same buffer.

    `frame` says what device it is and, as its last part, how much it has; `runs` are the blocks in a row that
    it computes, `detail` what else makes a difference.
    """

    frame: tuple[Hashable, ...]
    detail: tuple[Hashable, ...]
    runs: frozenset[Hashable]

    def is_comparable(self, other: GraphClass) -> bool:
        """Whether the one that has more of the graph needs no less."""
        return self.frame[:-1] == other.frame[:-1] and self.detail == other.detail

    def is_same_but_for_detail(self, other: GraphClass) -> bool:
        """Whether both compute the same blocks on the same device."""
        return self.frame == other.frame and self.runs == other.runs


class Labels(msgspec.Struct, frozen=True, eq=False):
    """Numbers for the blocks of a model: alike in the graph they make, and alike in their weights too."""

    graph: tuple[int, ...]
    copied: tuple[int, ...]
    longest_run: int


def classes_of(shape: ModelShape, plan: Plan) -> list[GraphClass]:
    """Return the class of RAM, then that of each used card."""
    options, starts, last = plan.options, plan.assignment.starts, shape.n_layer
    labels = labels_of_plan(shape, plan)
    in_ram, is_output_in_ram = min(starts[0], last), starts[0] > last
    host = ("host", plan.is_pipelined, min(in_ram, 1))
    placed = (options.n_cpu_moe > 0, is_output_in_ram)
    classes = [GraphClass(host, placed, _runs(labels.graph, 0, in_ram, 2))]
    for number in range(len(plan.chosen)):
        region = (starts[number], starts[number + 1])
        kind = class_of_region(labels, last, region, is_pipelined=plan.is_pipelined)
        if number == 0 and options.op_offload:
            parity = in_ram % 2 if any(shape.state_sizes) else 0
            copied = _copied_runs(labels, in_ram, min(options.n_cpu_moe, last))
            frame = ("first", plan.is_pipelined, min(in_ram, 2))
            ends = (*_ends(labels.graph, *region), labels.copied[in_ram - 1] if in_ram else -1)
            detail = (parity, is_output_in_ram, *ends, *kind.frame[2:], *kind.detail)
            kind = GraphClass(frame, detail, kind.runs | copied)
        classes.append(kind)
    return classes


def class_of_region(
    labels: Labels, n_layer: int, region: tuple[int, int], *, is_pipelined: bool = False
) -> GraphClass:
    """Return the class of a card, not the first, that holds the units of a region; `n_layer` is the output.

    The last block is a case of its own: it computes only the rows that logits are made of.
    """
    begin, end = min(region[0], n_layer), min(region[1], n_layer)
    has_output = region[0] <= n_layer < region[1]
    frame = ("other", is_pipelined, has_output, min(end - begin, 2))
    runs = _runs(labels.graph, begin, end, labels.longest_run)
    return GraphClass(frame, (begin < end == n_layer,), runs)


def twin_of(kind: GraphClass) -> GraphClass:
    """Return the class of a card with the same blocks before others."""
    return GraphClass(("other", kind.frame[1], False, kind.frame[-1]), (False,), kind.runs)


def is_at_end(kind: GraphClass) -> bool:
    """Whether a card that is not the first has the last block or the output, which need the rows' numbers."""
    return kind.frame[2] is True or kind.detail[-1] is True


def significance(run: Hashable) -> int:
    """Return how much it matters that a device has a run of blocks and another has it not."""
    match run:
        case (int(),) | ("in RAM", (int(),)):
            return 4
        case ("in RAM", ("twice", _)) | ("copied", (int(),)) | ("experts", _):
            return 2
    return 0


def labels_of_plan(shape: ModelShape, plan: Plan) -> Labels:
    """Return the labels of a model's blocks in a plan."""
    names = plan.names if plan.options.override_tensors else ()
    return labels_of(shape, plan.options.n_cpu_moe, plan.options.override_tensors, names)


@functools.lru_cache(maxsize=64)
def labels_of(
    shape: ModelShape, n_cpu_moe: int, overrides: tuple[str, ...], cards: tuple[str, ...]
) -> Labels:
    """Return the labels of a model's blocks under the options that place single tensors."""
    graphs: dict[Hashable, int] = {}
    copies: dict[Hashable, int] = {}
    placed = _placed(shape, overrides, cards)
    graph, copied = [], []
    for number, layer in enumerate(shape.layers):
        content = msgspec.structs.astuple(layer)[1:9]
        own = (content, layer.n_ff_expert > 0 and number < n_cpu_moe, placed.get(number, ()))
        graph.append(graphs.setdefault(own, len(graphs)))
        copied.append(copies.setdefault((own, layer.kind), len(copies)))
    has_state = any(layer.is_recurrent for layer in shape.layers)
    return Labels(tuple(graph), tuple(copied), _LONGEST_RUN_WITH_STATE if has_state else _LONGEST_RUN)


def _placed(
    shape: ModelShape, overrides: tuple[str, ...], cards: tuple[str, ...]
) -> dict[int, tuple[tuple[str, str], ...]]:
    """Return for each block what of it overrides have placed, and where."""
    placed: dict[int, tuple[tuple[str, str], ...]] = {}
    if not overrides:
        return placed
    for weight in shape.weights:
        target = target_of(overrides, cards, weight.name)
        if target is not None and weight.block >= 0:
            part = (weight.name.split(".", 2)[-1], target)
            placed[weight.block] = (*placed.get(weight.block, ()), part)
    return placed


@functools.lru_cache(maxsize=4096)
def _runs(labels: tuple[int, ...], begin: int, end: int, longest: int) -> frozenset[Hashable]:
    """Return the runs of up to `longest` blocks in a row, and which labels occur more than once."""
    found: set[Hashable] = set()
    for length in range(1, longest + 1):
        found.update(_windows(labels, begin, end, length))
    counts = Counter(labels[begin:end])
    found.update(("twice", label) for label, count in counts.items() if count > 1)
    return frozenset(found)


def _ends(labels: tuple[int, ...], begin: int, end: int) -> tuple[int, int]:
    """Return the labels of the first and the last block, -1 where there is none."""
    inside = labels[begin:end]
    return (inside[0], inside[-1]) if inside else (-1, -1)


def _windows(labels: Sequence[int], begin: int, end: int, length: int) -> set[tuple[int, ...]]:
    return {tuple(labels[index : index + length]) for index in range(begin, end - length + 1)}


@functools.lru_cache(maxsize=1024)
def _copied_runs(labels: Labels, in_ram: int, n_cpu_moe: int) -> frozenset[Hashable]:
    """Return what the first card computes for RAM: blocks there, and experts of blocks that are elsewhere."""
    runs: set[Hashable] = {("in RAM", run) for run in _runs(labels.graph, 0, in_ram, 1)}
    runs.update(("copied", run) for run in _windows(labels.copied, 0, in_ram, 1))
    runs.update(("copied", run) for run in _windows(labels.copied, 0, in_ram, 2))
    runs.update(("experts", labels.copied[index]) for index in range(in_ram, n_cpu_moe))
    return frozenset(runs)
