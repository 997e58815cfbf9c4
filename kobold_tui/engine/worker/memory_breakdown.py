"""What a context and its model take, byte by byte, as llama.cpp itself counts it.

The figures come from `llama_get_memory_breakdown`, a C++ function that returns a std::map of buffer types;
the map is read as libstdc++ lays it out, and anything unexpected in it is an error instead of a number.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.memory import HOST_NAME, DeviceMemory
from kobold_tui.engine.worker import bindings, host

_SYMBOL = "_Z26llama_get_memory_breakdownPK13llama_context"
_MAX_BUFFER_TYPES = 64


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
    """Return what a context and its model take: the host first, then each card in order, used or not.

    Raises EngineError when this build has no such function or lays its result out differently.
    """
    tree = bindings.symbol(_SYMBOL, _Map, ctypes.c_void_p)(context)
    cards = {device.handle: device for device in bindings.devices() if device.is_gpu}
    sums = {0: [0, 0, 0], **{handle: [0, 0, 0] for handle in cards}}
    for node in _nodes(tree):
        device = _device_of(node.buffer_type)
        if device is not None:
            cards.setdefault(device.handle, device)
        row = sums.setdefault(device.handle if device else 0, [0, 0, 0])
        for column, size in enumerate((node.model, node.context, node.compute)):
            row[column] += size
    return (
        _memory(HOST_NAME, sums[0], host.available_memory_bytes(), is_host=True),
        *(_memory(card.name, sums[handle], card.free_bytes) for handle, card in cards.items()),
    )


def _memory(name: str, sizes: list[int], free_bytes: int, *, is_host: bool = False) -> DeviceMemory:
    weights_bytes, kv_bytes, compute_bytes = sizes
    return DeviceMemory(
        name=name,
        weights_bytes=weights_bytes,
        kv_bytes=kv_bytes,
        compute_bytes=compute_bytes,
        free_bytes=free_bytes,
        is_host=is_host,
    )
