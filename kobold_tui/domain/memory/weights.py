"""Bytes of weights on every device, as sums over runs of layers that are made once.

Source: `load_tensors` in llama-model.cpp, `create_tensor` in llama-model-loader.cpp.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from itertools import accumulate

import msgspec

from kobold_tui.domain.memory.buffers import HOST, Layout, layout_of
from kobold_tui.domain.memory.overrides import target_of
from kobold_tui.domain.memory.plan import Plan
from kobold_tui.domain.memory.shape import ModelShape, Weight


class WeightTable(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Sums of one layout: `blocks[i]` are the bytes of all blocks before the i-th, `experts` likewise.

    Tensors that an override has placed are in none of these, but in `pinned`: bytes by the override's buffer.
    """

    blocks: tuple[int, ...]
    experts: tuple[int, ...]
    inputs: int
    output: int
    tied: int
    shared: int
    pinned: dict[str, int]


def weight_bytes(shape: ModelShape, plan: Plan) -> list[int]:
    """Return the bytes in RAM, then those on each used card.

    `n_cpu_moe` keeps the experts of the first layers in RAM, `override_tensors` places single tensors.
    """
    options, names, last = plan.options, plan.names, shape.n_layer
    overrides, starts = options.override_tensors, plan.assignment.starts
    cards = names if overrides else ()
    host = weight_table(shape, HOST, overrides, cards)
    begin = min(starts[0], last)
    in_ram = host.inputs + host.blocks[begin] + host.experts[begin] + host.pinned.get("", 0)
    in_ram += host.shared * (starts[0] > 0) + host.output * (starts[0] > last)
    sizes = []
    for number, card in enumerate(plan.used):
        table = weight_table(shape, layout_of(card.backend), overrides, cards)
        first, end = starts[number], starts[number + 1]
        begin, stop = min(first, last), min(end, last)
        kept = min(max(options.n_cpu_moe, begin), stop)
        in_ram += host.experts[kept] - host.experts[begin]
        size = table.blocks[stop] - table.blocks[begin] + table.experts[stop] - table.experts[kept]
        size += table.shared * (stop > begin) + (table.output + table.tied) * (first <= last < end)
        sizes.append(size + table.pinned.get(names[number], 0))
    return [in_ram, *sizes]


@functools.lru_cache(maxsize=64)
def weight_table(
    shape: ModelShape, layout: Layout, overrides: tuple[str, ...], cards: tuple[str, ...]
) -> WeightTable:
    """Return the sums for one layout and one set of overrides."""
    target = functools.partial(target_of, overrides, cards)
    free = [weight for weight in shape.weights if target(weight.name) is None]

    def total(weights: Iterable[Weight]) -> int:
        return sum(_padded(weight, layout) for weight in weights)

    return WeightTable(
        blocks=_running(shape, layout, (weight for weight in free if not weight.is_expert)),
        experts=_running(shape, layout, (weight for weight in free if weight.is_expert)),
        inputs=total(weight for weight in free if weight.place == "input"),
        output=total(weight for weight in free if weight.place == "output"),
        shared=total(weight for weight in free if weight.place == "shared"),
        tied=total(weight for weight in free if shape.is_tied and weight.name == "token_embd.weight"),
        pinned=_pinned(shape, layout, target),
    )


def _running(shape: ModelShape, layout: Layout, weights: Iterable[Weight]) -> tuple[int, ...]:
    sizes = [0] * shape.n_layer
    for weight in weights:
        if weight.block >= 0:
            sizes[weight.block] += _padded(weight, layout)
    return tuple(accumulate(sizes, initial=0))


def _pinned(shape: ModelShape, layout: Layout, target: Callable[[str], str | None]) -> dict[str, int]:
    pinned: dict[str, int] = {}
    for weight in shape.weights:
        buffer = target(weight.name)
        if buffer is not None:
            pinned[buffer] = pinned.get(buffer, 0) + _padded(weight, layout)
    return pinned


def _padded(weight: Weight, layout: Layout) -> int:
    return layout.padded(weight.n_bytes + weight.row_padding_bytes * layout.pads_rows)
