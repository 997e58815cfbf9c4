"""A first figure for the compute buffer of every device, from the sizes of the graph.

The buffer is the peak of one graph of `n_tokens` tokens (`sched_reserve` in llama-context.cpp, ggml-alloc.c):
what goes in, and the largest moment inside a block or at the output. It is within a few per cent mostly; dry
runs make it exact (`ComputeLevels`).
"""

from __future__ import annotations

import functools

import msgspec

from kobold_tui.domain.memory.buffers import CACHE_ELEMENTS
from kobold_tui.domain.memory.context import ContextSizes
from kobold_tui.domain.memory.plan import Plan
from kobold_tui.domain.memory.shape import Layer, ModelShape

_FLOAT = 4
_COPIES = 4  # GGML_SCHED_MAX_COPIES, for pipeline parallelism
_MIN_OFFLOADED_TOKENS = 32  # GGML_OP_OFFLOAD_MIN_BATCH
_PLAIN_CACHE = frozenset({"f16"})


class BlockPeaks(msgspec.Struct, frozen=True, eq=False):
    """Bytes at the largest moment of each block: where its weights are, and on the first card for RAM."""

    own: tuple[int, ...]
    offloaded: tuple[int, ...]
    experts: tuple[int, ...]


def compute_bytes(shape: ModelShape, plan: Plan) -> list[int]:
    """Return the compute buffer of RAM, then that of each used card."""
    sizes, starts, last = plan.sizes, plan.assignment.starts, shape.n_layer
    peaks = block_peaks(shape, sizes)
    in_ram = min(starts[0], last)
    copies = _COPIES if plan.is_pipelined else 1
    cards = []
    for number in range(len(plan.chosen)):
        begin, end = min(starts[number], last), min(starts[number + 1], last)
        inputs = _input_bytes(shape, sizes, begin, end) * copies
        arrives = _row_bytes(shape, sizes) * (number == 0 or copies > 1) * copies if begin < end else 0
        peak = inputs + arrives + max(peaks.own[begin:end], default=0)
        if starts[number] <= last < starts[number + 1]:
            peak = max(peak, _output_bytes(shape, sizes))
        if number == 0 and plan.options.op_offload and sizes.n_tokens >= _MIN_OFFLOADED_TOKENS:
            peak = max(peak, _for_ram(shape, plan, peaks, in_ram))
        cards.append(peak)
    return [_host_bytes(shape, plan, peaks, in_ram), *cards]


@functools.lru_cache(maxsize=64)
def block_peaks(shape: ModelShape, sizes: ContextSizes) -> BlockPeaks:
    """Return the peaks of all blocks."""
    known = {layer.kind: _peaks(shape, sizes, layer) for layer in shape.kinds}
    rows = [known[layer.kind] for layer in shape.layers]
    own, offloaded, experts = zip(*rows, strict=True) if rows else ((), (), ())
    return BlockPeaks(own, offloaded, experts)


def _peaks(shape: ModelShape, sizes: ContextSizes, layer: Layer) -> tuple[int, int, int]:
    """Return the peaks of a block where it is, on the first card for RAM, and of its experts there."""
    inner = max(_feed_forward(shape, sizes, layer), _state(shape, sizes, layer))
    own = max(inner, _attention(shape, sizes, layer))
    copied = max(layer.largest_bytes, layer.largest_expert_bytes)
    masks = _mask_bytes(sizes, layer) if layer.is_attention else 0
    cache = _copied_cache(shape, sizes, layer)
    offloaded = max(masks + copied + inner, masks + cache + _attention(shape, sizes, layer))
    return own, offloaded, masks + layer.two_experts_bytes + inner


def _feed_forward(shape: ModelShape, sizes: ContextSizes, layer: Layer) -> int:
    """Return gate, up and their product, with the residual stream beside them; of experts, of all in use."""
    n_bytes, row = sizes.n_tokens * _FLOAT, _row_bytes(shape, sizes)
    dense = 3 * layer.n_ff * n_bytes + 2 * row if layer.n_ff else 0
    if not layer.n_ff_expert:
        return dense
    inner = layer.n_ff_expert * shape.n_expert_used * n_bytes
    return max(dense, max(3 * inner, inner + shape.n_expert_used * row) + 2 * row)


def _attention(shape: ModelShape, sizes: ContextSizes, layer: Layer) -> int:
    """Return queries, keys and values, and what comes from the whole context.

    These are the scores, or with flash attention f16 copies of a cache of another type.
    """
    if not layer.n_head:
        return 0
    n_bytes, row = sizes.n_tokens * _FLOAT, 2 * _row_bytes(shape, sizes)
    queries = layer.n_head * shape.head_sizes[0] * n_bytes
    cells = _cells(sizes, layer)
    if not sizes.has_flash_graph:
        return layer.n_head * cells * n_bytes + queries + row
    copies = sum(
        2 * width * cells
        for kind, width in zip(sizes.cache_types, (layer.k_width, layer.v_width), strict=True)
        if kind not in _PLAIN_CACHE
    )
    fresh = (layer.k_width + layer.v_width) * n_bytes
    return max(2 * queries + fresh, 2 * queries + copies) + row


def _state(shape: ModelShape, sizes: ContextSizes, layer: Layer) -> int:
    """Return what a recurrent block computes: its convolution's inputs, and the states of all sequences."""
    if not layer.is_recurrent:
        return 0
    inner, state, groups, rank = shape.inner_sizes
    activations = (4 * inner + 4 * groups * state + rank) * sizes.n_tokens * _FLOAT
    states = 2 * sum(shape.state_sizes) * _FLOAT * sizes.n_sequences
    return activations + states + 2 * _row_bytes(shape, sizes)


def _copied_cache(shape: ModelShape, sizes: ContextSizes, layer: Layer) -> int:
    """Return K and V of a block in RAM, which the first card reads, and K of the next one."""
    cells = _cells(sizes, layer)
    key, value = (
        CACHE_ELEMENTS[kind].row_bytes(width) * cells
        for kind, width in zip(sizes.cache_types, (layer.k_width, layer.v_width), strict=True)
    )
    return 2 * key + (key if shape.is_compressed else value)


def _for_ram(shape: ModelShape, plan: Plan, peaks: BlockPeaks, in_ram: int) -> int:
    """Return what the first card needs for blocks in RAM, for experts there, and for an output there."""
    sizes, last = plan.sizes, shape.n_layer
    peak = max(peaks.offloaded[:in_ram], default=0) + _row_bytes(shape, sizes) * (in_ram > 0)
    peak = max(peak, max(peaks.experts[in_ram : min(plan.options.n_cpu_moe, last)], default=0))
    if plan.assignment.starts[0] > last and sizes.n_outputs >= _MIN_OFFLOADED_TOKENS:
        peak = max(peak, _output_bytes(shape, sizes) + _output_weight(shape))
    return peak


def _output_weight(shape: ModelShape) -> int:
    sizes = [weight.n_bytes for weight in shape.weights if weight.place in {"input", "output"}]
    return max(sizes, default=0)


def _output_bytes(shape: ModelShape, sizes: ContextSizes) -> int:
    width = shape.n_vocab if shape.has_logits else 0
    return (width + shape.n_embd) * sizes.n_outputs * _FLOAT


def _row_bytes(shape: ModelShape, sizes: ContextSizes) -> int:
    """Return the bytes of the residual stream of all tokens."""
    return shape.n_embd * sizes.n_tokens * _FLOAT


def _cells(sizes: ContextSizes, layer: Layer) -> int:
    cells = sizes.n_sliding_cells if layer.is_sliding else sizes.n_cells
    return (cells if layer.is_attention else sizes.n_tokens) * sizes.n_streams


def _mask_bytes(sizes: ContextSizes, layer: Layer) -> int:
    """Return the mask of a layer's attention, for each token and cell, and the cells that tokens go to."""
    element = 2 if sizes.has_flash_graph else _FLOAT
    return _cells(sizes, layer) * sizes.n_tokens // sizes.n_streams * element + 16 * sizes.n_tokens


def _input_bytes(shape: ModelShape, sizes: ContextSizes, begin: int, end: int) -> int:
    """Return the masks of the kinds of attention in a run of blocks, and the positions."""
    kinds = {layer.is_sliding: layer for layer in shape.layers[begin:end] if layer.n_head}
    return sum(_mask_bytes(sizes, layer) for layer in kinds.values()) + _FLOAT * sizes.n_tokens * bool(kinds)


def _host_bytes(shape: ModelShape, plan: Plan, peaks: BlockPeaks, in_ram: int) -> int:
    """Return what RAM holds of the graph: all that goes in, and whole blocks where nothing offloads them."""
    sizes = plan.sizes
    inputs = _input_bytes(shape, sizes, 0, shape.n_layer) + 2 * _row_bytes(shape, sizes)
    if plan.is_pipelined:
        inputs *= _COPIES - 1
    is_computed = not plan.chosen or not plan.options.op_offload or sizes.n_tokens < _MIN_OFFLOADED_TOKENS
    if not is_computed or not in_ram:
        return inputs
    return max(inputs + max(peaks.own[:in_ram]), _output_bytes(shape, sizes))
