"""The exact memory of a model: llama.cpp places weights, cache and graph and allocates nothing.

The figures come from `llama_get_memory_breakdown`, a C++ function that returns a std::map of buffer types;
the map is read as libstdc++ lays it out, and anything unexpected in it is an error instead of a number.
It also works while another model is loaded. Recurrent state is the one thing that is really allocated.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.engine.worker import bindings, failures, host, load_params
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.weights import Weights, load_weights

_BREAKDOWN = "_Z26llama_get_memory_breakdownPK13llama_context"
_MAX_BUFFER_TYPES = 64
HOST_NAME = "RAM"


class _Map(ctypes.Structure):
    """libstdc++'s std::map: comparator, header node (colour, root, leftmost, rightmost), size."""

    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("compare", "color", "root", "left", "right", "count")
    )


class _Node(ctypes.Structure):
    """A tree node that maps a buffer type to bytes of model, context and compute."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("color", "parent", "left", "right", "buffer_type", "model", "context", "compute")
    )


def _nodes(tree: _Map) -> Iterator[_Node]:
    """Walk the tree. Raises EngineError when it has not the size that it claims."""
    if tree.count > _MAX_BUFFER_TYPES:
        raise _unexpected_layout()
    stack, seen = [tree.root], 0
    while stack:
        address = stack.pop()
        if not address:
            continue
        seen += 1
        if seen > tree.count:
            raise _unexpected_layout()
        node = _Node.from_address(address)
        stack += [node.left, node.right]
        yield node
    if seen != tree.count:
        raise _unexpected_layout()


def _unexpected_layout() -> EngineError:
    return EngineError(
        "Memory cannot be predicted exactly",
        "This build of llama.cpp reports its memory in a form that is not known here.",
        "The prediction without a dry run still works; `kobold-tui doctor` shows the build.",
    )


def _device_of(buffer_type: int) -> bindings.Device | None:
    """Return the card that holds buffers of this type, None for the host's memory."""
    get_device = bindings.symbol("ggml_backend_buft_get_device", ctypes.c_void_p, ctypes.c_void_p)
    is_host = bindings.symbol("ggml_backend_buft_is_host", ctypes.c_bool, ctypes.c_void_p)
    handle = get_device(buffer_type)
    if is_host(buffer_type) or not handle:
        return None
    device = bindings.device_from_handle(handle)
    return None if device.is_cpu else device


def breakdown(context: int) -> tuple[DeviceMemory, ...]:
    """Return what a context and its model take: the host first, then each card.

    Raises EngineError when this build has no such function or lays its result out differently.
    """
    tree = bindings.symbol(_BREAKDOWN, _Map, ctypes.c_void_p)(context)
    sums: dict[str, list[int]] = {HOST_NAME: [0, 0, 0]}
    free: dict[str, int] = {HOST_NAME: host.available_memory_bytes()}
    for node in _nodes(tree):
        device = _device_of(node.buffer_type)
        name = device.name if device else HOST_NAME
        if device:
            free[name] = device.free_bytes
        row = sums.setdefault(name, [0, 0, 0])
        for column, size in enumerate((node.model, node.context, node.compute)):
            row[column] += size
    return tuple(
        DeviceMemory(
            name=name,
            weights_bytes=row[0],
            kv_bytes=row[1],
            compute_bytes=row[2],
            free_bytes=free[name],
            is_host=name == HOST_NAME,
        )
        for name, row in sums.items()
    )


def measure(spec: LoadSpec) -> MemoryEstimate:
    """Return what loading `spec` would take on the real devices. Raises as a load would."""
    weights = load_weights(spec, lambda _fraction: None, lambda: False, dry_run=True)
    try:
        return _measure_context(spec, weights)
    finally:
        weights.close()


def _measure_context(spec: LoadSpec, weights: Weights) -> MemoryEstimate:
    shape = weights.shape(spec)
    params = load_params.context_params(spec.options, shape)
    with bindings.NATIVE_LOG.record_errors() as lines:
        context = C.llama_init_from_model(weights.handle, params.native)
    if not context:
        raise failures.context_failure(weights.path, spec.options, shape.n_ctx, lines)
    try:
        return MemoryEstimate(
            n_gpu_layers=weights.gpu_layers(load_params.requested_gpu_layers(spec.options)),
            n_layer=weights.n_layer,
            devices=breakdown(context),
            exact=True,
        )
    finally:
        C.llama_free(context)
