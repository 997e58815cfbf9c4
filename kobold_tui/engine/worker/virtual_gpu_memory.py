"""The memory of virtual GPUs: addresses alone for a dry run, or RAM up to a limit for cards that compute.

Recurrent state is what a dry run asks memory for, to fill it with zeros, and it can be gigabytes.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from kobold_tui.domain.units import MIB
from kobold_tui.engine.worker import bindings
from kobold_tui.engine.worker.virtual_gpu_answers import ALIGNMENT
from kobold_tui.engine.worker.virtual_gpu_layout import Buffer, BufferType

_NOWHERE = 1 << 40
"""A well-aligned address of nothing: a dry run computes with addresses and never looks there."""

_LARGE_BYTES = 8 * MIB
_ALLOCATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_CLEAR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint8)


class Addresses:
    """Buffers without memory."""

    used_bytes = 0

    def __init__(self) -> None:
        self._from_pointer = bindings.symbol(
            "ggml_backend_cpu_buffer_from_ptr", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
        )
        self._clear = _CLEAR(lambda _buffer, _value: None)

    def allocate(self, buffer_type: int, size: int) -> int | None:
        """Return a ggml_backend_buffer_t of a buffer type."""
        handle: int = self._from_pointer(_NOWHERE, size)
        buffer = Buffer.from_address(handle)
        buffer.buffer_type = buffer_type
        buffer.clear = address_of(self._clear)
        return handle


@contextlib.contextmanager
def large_host_buffers_without_memory() -> Iterator[None]:
    """Let the CPU's own large buffers be addresses alone meanwhile, in a process that never computes."""
    cpu = next(device for device in bindings.devices() if device.is_cpu)
    kind = BufferType.from_address(cpu.buffer_type)
    addresses, before = Addresses(), kind.alloc_buffer
    allocate = _ALLOCATE(before)

    def allocate_small(buffer_type: int, size: int) -> int | None:
        return allocate(buffer_type, size) if size < _LARGE_BYTES else addresses.allocate(buffer_type, size)

    replacement = _ALLOCATE(allocate_small)
    kind.alloc_buffer = address_of(replacement)
    try:
        yield
    finally:
        kind.alloc_buffer = before


class HostMemory:
    """Buffers of RAM, refused above `limit_bytes` as a real card refuses what it has not."""

    def __init__(self, limit_bytes: int) -> None:
        self.used_bytes = 0
        self._limit_bytes = limit_bytes
        self._live: dict[int, tuple[int, Callable[[int], None], int | None]] = {}
        self._free = _FREE(self._release)
        cpu = next(device for device in bindings.devices() if device.is_cpu)
        self._host_type = cpu.buffer_type
        self._new = bindings.symbol(
            "ggml_backend_buft_alloc_buffer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
        )

    def allocate(self, buffer_type: int, size: int) -> int | None:
        """Return a ggml_backend_buffer_t whose base is aligned as on a card, or None."""
        if self.used_bytes + size > self._limit_bytes:
            return None
        handle: int | None = self._new(self._host_type, size + ALIGNMENT)
        if not handle:
            return None
        buffer = Buffer.from_address(handle)
        self._live[handle] = (size, _FREE(buffer.free_buffer), buffer.context)
        self.used_bytes += size
        buffer.buffer_type, buffer.size = buffer_type, size
        buffer.context = -(-buffer.context // ALIGNMENT) * ALIGNMENT
        buffer.free_buffer = address_of(self._free)
        return handle

    def _release(self, handle: int) -> None:
        size, free, context = self._live.pop(handle)
        self.used_bytes -= size
        Buffer.from_address(handle).context = context
        free(handle)


def address_of(function: Any) -> int:
    """Return the address of a ctypes function, which the caller has to keep alive."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0
