"""Bytes of the KV cache and of recurrent state on every device, as sums over runs of layers.

Sources: llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp.
"""

from __future__ import annotations

import functools
from itertools import accumulate

from kobold_tui.domain.memory.buffers import HOST, Layout, cache_tensor_bytes, layout_of
from kobold_tui.domain.memory.context import ContextSizes
from kobold_tui.domain.memory.plan import Plan
from kobold_tui.domain.memory.shape import Layer, ModelShape

_STATE_ELEMENT_BYTES = 4


def cache_bytes(shape: ModelShape, plan: Plan) -> list[int]:
    """Return the bytes in RAM, then those on each used card."""
    in_ram = running_cache(shape, plan.sizes, HOST)
    if not plan.sizes.is_cache_offloaded:
        return [in_ram[-1]] + [0] * len(plan.chosen)
    starts = [min(start, shape.n_layer) for start in plan.assignment.starts]
    on_cards = []
    for number, card in enumerate(plan.used):
        sums = running_cache(shape, plan.sizes, layout_of(card.backend))
        on_cards.append(sums[starts[number + 1]] - sums[starts[number]])
    return [in_ram[starts[0]], *on_cards]


@functools.lru_cache(maxsize=64)
def running_cache(shape: ModelShape, sizes: ContextSizes, layout: Layout) -> tuple[int, ...]:
    """Return for each layer the bytes of all layers before it, and of all in the end."""
    known = {
        layer.kind: _attention_bytes(shape, layer, sizes, layout) + _state_bytes(shape, layer, sizes, layout)
        for layer in shape.kinds
    }
    return tuple(accumulate((known[layer.kind] for layer in shape.layers), initial=0))


def _attention_bytes(shape: ModelShape, layer: Layer, sizes: ContextSizes, layout: Layout) -> int:
    """Return what K and V of a layer take; without flash attention every V row is as wide as the widest."""
    if not layer.is_attention:
        return 0
    n_rows = (sizes.n_sliding_cells if layer.is_sliding else sizes.n_cells) * sizes.n_streams
    v_width = layer.v_width
    if not sizes.has_flash_cache and not shape.is_compressed:
        v_width = shape.widest_value
    key = cache_tensor_bytes(sizes.cache_types[0], layer.k_width, n_rows, layout)
    return key + cache_tensor_bytes(sizes.cache_types[1], v_width, n_rows, layout)


def _state_bytes(shape: ModelShape, layer: Layer, sizes: ContextSizes, layout: Layout) -> int:
    if not layer.is_recurrent:
        return 0
    n_bytes = _STATE_ELEMENT_BYTES * sizes.n_sequences
    return sum(layout.padded(size * n_bytes) for size in shape.state_sizes)
