"""What ggml's CUDA code says about tensors: how large they are, where they may run, how long they live.

Each function repeats one of ggml-cuda.cu or fattn.cu for cards with tensor cores (Turing and later). What the
CUDA code refuses beyond attention, and its fusion of the choice of experts, is not repeated.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.model import Header
from kobold_tui.engine.worker import bindings
from kobold_tui.engine.worker.virtual_gpu_layout import Graph, OptimizeParams, Tensor
from kobold_tui.gguf.ggml_types import TENSOR_TYPES

ALIGNMENT = 128
ROW_PADDING = 512  # MATRIX_ROW_PADDING in ggml-cuda/common.cuh
MIN_OFFLOADED_BATCH = 32  # GGML_OP_OFFLOAD_MIN_BATCH, the default
MAX_FUSED_EXPERTS = 15  # MOE_WEIGHTED_REDUCTION_MAX_EXPERTS in ggml-cuda.cu
_F32, _F16 = 0, 1
_ATTENTION_TYPES = frozenset({0, 1, 30, 2, 3, 6, 7, 8})  # ggml_cuda_fattn_kv_type_supported
_QUANTISED = {number: kind for number, kind in TENSOR_TYPES.items() if kind.block_size > 1}
_LAST_OPERATION = "GLU"  # the one before GGML_OP_COUNT in enum ggml_op

PLAIN_HEADS = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
"""Head sizes for which there is a kernel whatever else holds, as long as K and V have the same."""

_GROUPED_HEADS = {192: (128, 8), 320: (256, 32), 512: (512, 1), 576: (512, 1)}
"""Other head sizes of K, with that of V and what the number of queries for each head is a multiple of."""


class Questions(NamedTuple):
    """Which questions must be answered in Python, because CUDA's answer can differ from the CPU's."""

    attention: bool
    sizes: bool
    experts: bool


ALL_QUESTIONS = Questions(attention=True, sizes=True, experts=True)


def questions_about(header: Header, options: LoadOptions) -> Questions:
    """Return what a model and its options make necessary; in doubt, everything.

    Sizes differ for quantised rows that do not fill `ROW_PADDING` and for attention over a cache that is not
    f16, attention differs by the size of its heads, and experts are summed up in one go.
    """
    odd_rows = any(
        tensor.type_id in _QUANTISED and tensor.dimensions[0] % ROW_PADDING for tensor in header.tensors
    )
    cache_types = {options.type_k, options.type_v}
    return Questions(
        attention="iq4_nl" in cache_types or not _has_plain_heads(header),
        sizes=odd_rows or cache_types != {"f16"},
        experts=any("_exps" in tensor.name for tensor in header.tensors),
    )


def _has_plain_heads(header: Header) -> bool:
    """Whether all heads certainly have sizes with a kernel, or there is no attention at all."""
    counts = _numbers(header, "head_count")
    if not counts:
        return False
    if not any(counts):
        return True
    usual = tuple(header.n_embd // count for count in counts if count)
    keys, values = (_numbers(header, f"{part}_length") or usual for part in ("key", "value"))
    special = ("kv_lora_rank", "key_length_mla", "key_length_swa", "value_length_swa")
    is_special = any(_numbers(header, name) for name in special)
    return not is_special and set(keys) == set(values) and set(keys) <= PLAIN_HEADS


def _numbers(header: Header, name: str) -> tuple[int, ...]:
    """Return a number, or one for each layer, of the attention's metadata; empty where there is none."""
    value = header.metadata.get(f"{header.architecture}.attention.{name}")
    values = value if isinstance(value, tuple) else (value,)
    return tuple(item for item in values if isinstance(item, int) and not isinstance(item, bool))


AddDependency = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


@functools.cache
def operations() -> dict[str, int]:
    """Return the numbers of ggml's operations by name."""
    name_of = bindings.symbol("ggml_op_name", ctypes.c_char_p, ctypes.c_int)
    numbers: dict[str, int] = {}
    while _LAST_OPERATION not in numbers and len(numbers) < 256:
        numbers[(name_of(len(numbers)) or b"").decode()] = len(numbers)
    return numbers


def make_alloc_size() -> Callable[[int, int], int]:
    """Return `ggml_backend_cuda_buffer_type_get_alloc_size`: bytes of a tensor by its address."""
    n_bytes = bindings.symbol("ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)
    attention = operations()["FLASH_ATTN_EXT"]
    read = Tensor.from_address

    def alloc_size(_buffer_type: int, address: int) -> int:
        tensor = read(address)
        size: int = n_bytes(address)
        if tensor.op == attention:
            size = _with_f16_copies(tensor, size)
        quantised = _QUANTISED.get(tensor.type)
        if quantised and tensor.ne[0] % ROW_PADDING:
            rest = ROW_PADDING - tensor.ne[0] % ROW_PADDING
            size += rest // quantised.block_size * quantised.block_bytes
        return size

    return alloc_size


def _with_f16_copies(attention: Tensor, size: int) -> int:
    """Add the f16 copies of K and V that the tensor-core kernel makes (`get_f16_extra_data`)."""
    key, value = (Tensor.from_address(attention.src[index]) for index in (1, 2))
    if key.type != _F16:
        size = _padded(size) + 2 * _n_elements(key)
    shares_key = value.view_src and (
        value.view_src == attention.src[1]
        or (value.view_src == key.view_src and value.view_offs == key.view_offs)
    )
    if value.type != _F16 and not shares_key:
        size = _padded(size) + 2 * _n_elements(value)
    return size


def make_offload_op() -> Callable[[int, int], bool]:
    """Return `ggml_backend_cuda_device_offload_op`: whether weights in RAM are copied in for an operation."""
    numbers = operations()
    by_rows, by_tokens, never = numbers["MUL_MAT"], numbers["MUL_MAT_ID"], numbers["GET_ROWS"]
    rope = {numbers["ROPE"], numbers["ROPE_BACK"], by_tokens}

    def offload_op(_device: int, address: int) -> bool:
        tensor = Tensor.from_address(address)
        if tensor.op == never:
            return False
        if tensor.op == by_rows:
            return bool(tensor.ne[1] >= MIN_OFFLOADED_BATCH)
        if tensor.op in rope:
            return bool(tensor.ne[2] >= MIN_OFFLOADED_BATCH)
        return bool(tensor.ne[1] * tensor.ne[2] * tensor.ne[3] >= MIN_OFFLOADED_BATCH)

    return offload_op


def make_supports_op(otherwise: Callable[[int, int], bool]) -> Callable[[int, int], bool]:
    """Return what refuses attention for which CUDA has no kernel, and asks `otherwise` about the rest."""
    attention = operations()["FLASH_ATTN_EXT"]

    def supports_op(device: int, address: int) -> bool:
        tensor = Tensor.from_address(address)
        if tensor.op == attention and not _has_attention_kernel(tensor):
            return False
        return otherwise(device, address)

    return supports_op


def _has_attention_kernel(attention: Tensor) -> bool:
    """Repeat the refusals of `ggml_cuda_get_best_fattn_kernel`."""
    query, key, value = (Tensor.from_address(attention.src[index]) for index in range(3))
    mask = Tensor.from_address(attention.src[3]) if attention.src[3] else None
    if not {key.type, value.type} <= _ATTENTION_TYPES or (mask is not None and mask.ne[2] != 1):
        return False
    if key.ne[0] in PLAIN_HEADS:
        return bool(key.ne[0] == value.ne[0])
    if key.ne[0] not in _GROUPED_HEADS or mask is None:
        return False
    of_value, multiple = _GROUPED_HEADS[key.ne[0]]
    ratio = query.ne[2] // max(key.ne[2], 1)
    return bool(value.ne[0] == of_value and ratio >= 2 and ratio % multiple == 0 and key.ne[1] % 256 == 0)


def make_graph_optimize() -> Callable[[int, int, int], None]:
    """Return the part of `ggml_backend_cuda_graph_optimize` that moves memory.

    The weighted sum of the experts is one kernel, so that their outputs live until its end.
    """
    numbers = operations()
    multiply, add, view = numbers["MUL"], numbers["ADD"], numbers["VIEW"]
    op_at = Tensor.op.offset

    def graph_optimize(_backend: int, graph_address: int, params_address: int) -> None:
        graph = Graph.from_address(graph_address)
        nodes = list((ctypes.c_size_t * graph.n_nodes).from_address(graph.nodes))
        kinds = [ctypes.c_int.from_address(node + op_at).value for node in nodes]
        params = OptimizeParams.from_address(params_address)
        for index, sources in _weighted_sums(nodes, kinds, (multiply, add, view)):
            add_dependency = AddDependency(params.add_alloc_dep)
            for source in sources:
                add_dependency(params.user_data, source, nodes[index])

    return graph_optimize


def _weighted_sums(
    nodes: list[int], kinds: list[int], operation: tuple[int, int, int]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the last node of each weighted sum of experts, and the experts and weights that go in."""
    multiply, add, view = operation
    index = 0
    while index < len(kinds):
        if kinds[index] == multiply:
            product = Tensor.from_address(nodes[index])
            last = index + 2 * product.ne[1] - 1
            if (
                2 <= product.ne[1] <= MAX_FUSED_EXPERTS
                and last < len(kinds)
                and (kinds[index + 1], kinds[last]) == (view, add)
                and Tensor.from_address(nodes[index + 1]).src[0] == nodes[index]
                and (sources := _experts_and_weights(product))
            ):
                yield last, sources
                index = last
        index += 1


def _experts_and_weights(product: Tensor) -> tuple[int, int] | None:
    """Return the factors of a product when one is a number for each expert and token."""
    pair = (product.src[0], product.src[1])
    if product.type != _F32 or None in pair:
        return None
    for full, broadcast in (pair, pair[::-1]):
        experts, weights = Tensor.from_address(full), Tensor.from_address(broadcast)
        shape = list(product.ne)
        if list(experts.ne) == shape and list(weights.ne) == [1, *shape[1:]] and weights.type == _F32:
            return full, broadcast
    return None


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _n_elements(tensor: Tensor) -> int:
    count = 1
    for size in tensor.ne:
        count *= size
    return count
