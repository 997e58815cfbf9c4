"""Bytes that each unit of a model adds to the card that holds it, apart from the graph's."""

from __future__ import annotations

import functools

from kobold_tui.domain.memory.buffers import Layout
from kobold_tui.domain.memory.cache import running_cache
from kobold_tui.domain.memory.context import ContextSizes
from kobold_tui.domain.memory.shape import ModelShape
from kobold_tui.domain.memory.weights import weight_table


@functools.lru_cache(maxsize=64)
def running_units(
    shape: ModelShape, layout: Layout, sizes: ContextSizes, overrides: tuple[str, ...], n_cpu_moe: int
) -> tuple[int, ...]:
    """Return for each unit the bytes of all units before it, and of all in the end.

    Units are the blocks, then the output; the experts of the first `n_cpu_moe` blocks stay in RAM.
    """
    table = weight_table(shape, layout, overrides, ())
    caches = running_cache(shape, sizes, layout)
    sums = []
    for unit in range(shape.n_layer + 1):
        experts = table.experts[unit] - table.experts[min(n_cpu_moe, unit)]
        sums.append(table.blocks[unit] + experts + caches[unit] * sizes.is_cache_offloaded)
    return (*sums, sums[-1] + table.output + table.tied)
