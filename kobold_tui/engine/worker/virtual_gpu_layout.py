"""The C structs that a ggml device is made of, and the proof that the loaded library lays them out so.

They are those of ggml-backend-impl.h (API version 2), ggml-backend.h, ggml.h and ggml-impl.h. None of them
belongs to the public API: `check_layout` compares what they say of objects that the library made itself
with what its functions say, before anything is built with them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from kobold_tui.engine.worker import bindings

API_VERSION = 2  # GGML_BACKEND_API_VERSION
MAX_SOURCES = 10  # GGML_MAX_SRC in ggml.h
_OBJECT_BYTES = 32  # GGML_OBJECT_SIZE, the bookkeeping that `ggml_tensor_overhead` adds to a tensor
_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_size_t
_NEXT_TYPE, _NEXT_WIDTH, _NEXT_ROWS = 8, 64, 3  # a tensor to look at: GGML_TYPE_Q8_0, 64 x 3


def _pointers(names: str) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _POINTER) for name in names.split())


class BufferType(ctypes.Structure):
    """ggml_backend_buffer_type."""

    _fields_ = _pointers(
        "get_name alloc_buffer get_alignment get_max_size get_alloc_size is_host device context"
    )


class Buffer(ctypes.Structure):
    """ggml_backend_buffer."""

    _fields_ = (
        *_pointers(
            "free_buffer get_base init_tensor memset_tensor set_tensor get_tensor set_tensor_2d "
            "get_tensor_2d cpy_tensor clear reset buffer_type context"
        ),
        ("size", _SIZE),
        ("usage", ctypes.c_int),
    )


class Device(ctypes.Structure):
    """ggml_backend_device."""

    _fields_ = _pointers(
        "get_name get_description get_memory get_type get_props init_backend get_buffer_type "
        "get_host_buffer_type buffer_from_host_ptr supports_op supports_buft offload_op event_new event_free "
        "event_synchronize registry context"
    )


class Backend(ctypes.Structure):
    """ggml_backend."""

    _fields_ = _pointers(
        "guid get_name free set_tensor_async get_tensor_async set_tensor_2d_async get_tensor_2d_async "
        "cpy_tensor_async synchronize graph_plan_create graph_plan_free graph_plan_update graph_plan_compute "
        "graph_compute event_record event_wait graph_optimize device context"
    )


class Registry(ctypes.Structure):
    """ggml_backend_reg."""

    _fields_ = (
        ("api_version", ctypes.c_int),
        *_pointers("get_name get_device_count get_device get_proc_address context"),
    )


class Event(ctypes.Structure):
    """ggml_backend_event."""

    _fields_ = _pointers("device context")


class Properties(ctypes.Structure):
    """ggml_backend_dev_props."""

    _fields_ = (
        ("name", _POINTER),
        ("description", _POINTER),
        ("memory_free", _SIZE),
        ("memory_total", _SIZE),
        ("type", ctypes.c_int),
        ("device_id", _POINTER),
        ("is_async", ctypes.c_bool),
        ("host_buffer", ctypes.c_bool),
        ("buffer_from_host_ptr", ctypes.c_bool),
        ("events", ctypes.c_bool),
        ("mmap_support", ctypes.c_bool),
    )


class Tensor(ctypes.Structure):
    """ggml_tensor."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", _POINTER),
        ("ne", ctypes.c_int64 * 4),
        ("nb", _SIZE * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", _POINTER * MAX_SOURCES),
        ("view_src", _POINTER),
        ("view_offs", _SIZE),
        ("data", _POINTER),
        ("name", ctypes.c_char * 64),
        ("extra", _POINTER),
        ("padding", ctypes.c_char * 8),
    )


class Graph(ctypes.Structure):
    """The beginning of ggml_cgraph."""

    _fields_ = (
        ("size", ctypes.c_int),
        ("n_nodes", ctypes.c_int),
        ("n_leafs", ctypes.c_int),
        ("nodes", _POINTER),
    )


class OptimizeParams(ctypes.Structure):
    """ggml_backend_graph_optimize_params."""

    _fields_ = _pointers("add_alloc_dep user_data")


class _ContextParams(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = (("mem_size", _SIZE), ("mem_buffer", _POINTER), ("no_alloc", ctypes.c_bool))


def check_layout() -> str:
    """Return what differs from the layout above, in words; empty where all is as expected."""
    return next((fault for fault in (*_registry_faults(), *_tensor_faults(), *_buffer_faults()) if fault), "")


def _call(name: str, result: Any, *arguments: Any) -> Any:
    """Call a function of the library whose arguments are all pointers or numbers of pointer size."""
    types = [
        _SIZE if isinstance(argument, int) and argument < 1 << 16 else _POINTER for argument in arguments
    ]
    return bindings.symbol(name, result, *types)(*arguments)


def _registry_faults() -> Iterator[str]:
    """Compare the CPU's own device and registry."""
    cpu = next(device for device in bindings.devices() if device.is_cpu)
    device = Device.from_address(cpu.handle)
    registry = _call("ggml_backend_dev_backend_reg", _POINTER, cpu.handle)
    if device.registry != registry:
        yield "a device is laid out differently"
        return
    version = Registry.from_address(registry).api_version
    if version != API_VERSION:
        yield f"its device interface has version {version} instead of {API_VERSION}"
        return
    read_name = ctypes.CFUNCTYPE(ctypes.c_char_p, _POINTER)(device.get_name)
    if read_name(cpu.handle).decode() != cpu.name:
        yield "a device is called by another name"
    if ctypes.CFUNCTYPE(_POINTER, _POINTER)(device.get_buffer_type)(cpu.handle) != cpu.buffer_type:
        yield "a device's functions stand in another order"
    buffer_type = BufferType.from_address(cpu.buffer_type)
    read_name = ctypes.CFUNCTYPE(ctypes.c_char_p, _POINTER)(buffer_type.get_name)
    named = read_name(cpu.buffer_type).decode() == bindings.buffer_type_name(cpu.buffer_type)
    alignment = _call("ggml_backend_buft_get_alignment", _SIZE, cpu.buffer_type)
    align = buffer_type.get_alignment
    if not named or not align or ctypes.CFUNCTYPE(_SIZE, _POINTER)(align)(cpu.buffer_type) != alignment:
        yield "a buffer type is laid out differently"


def _tensor_faults() -> Iterator[str]:
    """Compare a view of a quantised tensor and a graph of it."""
    if _call("ggml_tensor_overhead", _SIZE) != ctypes.sizeof(Tensor) + _OBJECT_BYTES:
        yield "a tensor has another size"
        return
    params = _ContextParams(1 << 20, None, True)
    context = bindings.symbol("ggml_init", _POINTER, _ContextParams)(params)
    try:
        new = bindings.symbol("ggml_new_tensor_2d", _POINTER, _POINTER, ctypes.c_int, *[ctypes.c_int64] * 2)
        base = new(context, _NEXT_TYPE, _NEXT_WIDTH, _NEXT_ROWS)
        view = bindings.symbol("ggml_view_1d", _POINTER, _POINTER, _POINTER, ctypes.c_int64, _SIZE)(
            context, base, 32, 34
        )
        if not _is_the_expected_view(base, view):
            yield "a tensor is laid out differently"
        yield _graph_fault(context, view)
    finally:
        bindings.symbol("ggml_free", None, _POINTER)(context)


def _is_the_expected_view(base: int, view: int) -> bool:
    whole, part = Tensor.from_address(base), Tensor.from_address(view)
    name: bytes = _call("ggml_op_name", ctypes.c_char_p, part.op) if part.op < 1 << 8 else b""
    return (
        (whole.type, list(whole.ne), whole.nb[1]) == (_NEXT_TYPE, [_NEXT_WIDTH, _NEXT_ROWS, 1, 1], 68)
        and (part.src[0], part.view_src, part.view_offs) == (base, base, 34)
        and name == b"VIEW"
        and part.name.endswith(b"(view)")
    )


def _graph_fault(context: int, node: int) -> str:
    graph = _call("ggml_new_graph", _POINTER, context)
    bindings.symbol("ggml_build_forward_expand", None, _POINTER, _POINTER)(graph, node)
    head = Graph.from_address(graph)
    first = _POINTER.from_address(head.nodes).value if head.n_nodes == 1 and head.nodes else None
    return "" if first == node else "a graph is laid out differently"


def _buffer_faults() -> Iterator[str]:
    cpu = next(device for device in bindings.devices() if device.is_cpu)
    handle = _call("ggml_backend_buft_alloc_buffer", _POINTER, cpu.buffer_type, 4096)
    try:
        buffer = Buffer.from_address(handle)
        base = _call("ggml_backend_buffer_get_base", _POINTER, handle)
        if (buffer.buffer_type, buffer.size, buffer.context) != (cpu.buffer_type, 4096, base):
            yield "a buffer is laid out differently"
    finally:
        bindings.symbol("ggml_backend_buffer_free", None, _POINTER)(handle)
