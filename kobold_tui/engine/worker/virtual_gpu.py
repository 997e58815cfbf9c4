"""GPUs that are not there: ggml devices made of Python functions that answer as CUDA cards do.

llama.cpp takes any device that it is handed, so the library for CPUs alone places a model on cards of any
number and size. A card either only plans (nothing is allocated or computed) or computes: then its memory is
RAM up to the card's size and its arithmetic is the CPU's, so that partial offload, several cards and running
out of memory can be tried without a card. The environment variable `KOBOLD_TUI_VIRTUAL_GPUS=24G,24G` gives
every worker such cards in place of the real ones.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.virtual_card import VirtualCard, parse_cards
from kobold_tui.engine.worker import bindings
from kobold_tui.engine.worker import virtual_gpu_answers as answers
from kobold_tui.engine.worker import virtual_gpu_layout as layout
from kobold_tui.engine.worker.virtual_gpu_memory import Addresses, HostMemory, address_of

VARIABLE = "KOBOLD_TUI_VIRTUAL_GPUS"
_PREFIX = "CUDA"
_GPU = 1  # GGML_BACKEND_DEVICE_TYPE_GPU
_POINTER, _SIZE, _BOOL = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool
_PASSED_ON = {b"ggml_backend_set_n_threads", b"ggml_backend_set_abort_callback"}


class _Kept:
    """Python functions as C functions; they and all that points to them must outlive the device."""

    def __init__(self) -> None:
        self._alive: list[Any] = []

    def function(self, python: Callable[..., Any], result: Any, *arguments: Any) -> int:
        native = ctypes.CFUNCTYPE(result, *arguments)(python)
        return address_of(self.keep(native))

    def text(self, value: str) -> int:
        return ctypes.addressof(self.keep(ctypes.create_string_buffer(value.encode())))

    def keep(self, value: Any) -> Any:
        self._alive.append(value)
        return value


class VirtualGpu:
    """One card, called CUDA0, CUDA1 and so on by its index; it lives as long as the process."""

    def __init__(self, index: int, card: VirtualCard, *, computes: bool) -> None:
        self.card = card
        self._computes = computes
        self._memory = HostMemory(card.free_bytes) if computes else Addresses()
        self._kept = _Kept()
        cpu = next(device for device in bindings.devices() if device.is_cpu)
        self._cpu = cpu
        self._native_cpu = layout.Device.from_address(cpu.handle)
        self._name = self._kept.text(f"{_PREFIX}{index}")
        self._description = self._kept.text("virtual card")
        self._id = self._kept.text(f"0000:{index + 1:02x}:00.0")
        self._device, self._backend = layout.Device(), layout.Backend()
        self._buffers, self._host_buffers = layout.BufferType(), layout.BufferType()
        self._registry = layout.Registry(api_version=layout.API_VERSION)
        self._fill_buffers()
        self._fill_host_buffers()
        self._fill_registry()
        self._fill_backend(self._backend)
        self._fill_device()
        self._fill_operations()

    @property
    def device(self) -> bindings.Device:
        """The card as llama.cpp is given it."""
        return bindings.device_from_handle(ctypes.addressof(self._device))

    @property
    def used_bytes(self) -> int:
        """Memory that is allocated on a card that computes."""
        return self._memory.used_bytes

    def answer(self, questions: answers.Questions) -> None:
        """Choose which questions are answered as CUDA does; the CPU's own answers to the rest are faster."""
        self._device.supports_op = self._careful if questions.attention else self._native_cpu.supports_op
        self._buffers.get_alloc_size = self._alloc_size if questions.sizes else None
        self._backend.graph_optimize = self._optimize if questions.experts else None

    def _fill_buffers(self) -> None:
        function, buffers = self._kept.function, self._buffers
        buffers.get_name = function(lambda _owner: self._name, _POINTER, _POINTER)
        buffers.alloc_buffer = function(self._describe_or_allocate, _POINTER, _POINTER, _SIZE)
        buffers.get_alignment = function(lambda _type: answers.ALIGNMENT, _SIZE, _POINTER)
        self._alloc_size = function(answers.make_alloc_size(), _SIZE, _POINTER, _POINTER)
        buffers.get_alloc_size = self._alloc_size
        buffers.device = ctypes.addressof(self._device)

    def _describe_or_allocate(self, owner: int, size: int) -> int | None:
        """Serve as two functions: the device's for its description, its buffer type's for a new buffer."""
        if owner == ctypes.addressof(self._device):
            return self._description
        return self._memory.allocate(owner, size)

    def _fill_host_buffers(self) -> None:
        """Pinned memory: the CPU's own buffer type under another name."""
        function, host, cpu_type = self._kept.function, self._host_buffers, self._cpu.buffer_type
        ctypes.memmove(ctypes.byref(host), cpu_type, ctypes.sizeof(host))
        allocate = bindings.symbol("ggml_backend_buft_alloc_buffer", _POINTER, _POINTER, _SIZE)
        name = self._kept.text(f"{_PREFIX}_Host")

        def allocate_host(buffer_type: int, size: int) -> int | None:
            handle: int | None = allocate(cpu_type, size)
            if handle:
                layout.Buffer.from_address(handle).buffer_type = buffer_type
            return handle

        host.get_name = function(lambda _type: name, _POINTER, _POINTER)
        host.alloc_buffer = function(allocate_host, _POINTER, _POINTER, _SIZE)
        host.device = ctypes.addressof(self._device)

    def _fill_registry(self) -> None:
        function, registry = self._kept.function, self._registry
        name, device = self._kept.text(_PREFIX), ctypes.addressof(self._device)
        registry.get_name = function(lambda _registry: name, _POINTER, _POINTER)
        registry.get_device_count = function(lambda _registry: 1, _SIZE, _POINTER)
        registry.get_device = function(lambda _registry, _index: device, _POINTER, _POINTER, _SIZE)
        registry.get_proc_address = function(self._proc_address, _POINTER, _POINTER, ctypes.c_char_p)

    def _proc_address(self, _registry: int, name: bytes) -> int | None:
        """Find a function by name: those for threads and aborting are the CPU's on a card that computes."""
        if not self._computes or name not in _PASSED_ON:
            return None
        find = bindings.symbol("ggml_backend_reg_get_proc_address", _POINTER, _POINTER, ctypes.c_char_p)
        address: int | None = find(self._native_cpu.registry, name)
        return address

    def _fill_backend(self, backend: layout.Backend) -> None:
        """Set what is the same for a backend that only plans and for the CPU's that computes for us."""
        function = self._kept.function
        backend.get_name = self._buffers.get_name
        backend.device = ctypes.addressof(self._device)
        backend.event_record = backend.event_wait = function(
            lambda _backend, _event: None, None, _POINTER, _POINTER
        )
        optimize = answers.make_graph_optimize()
        self._optimize = function(optimize, None, _POINTER, _POINTER, _POINTER)
        backend.graph_optimize = self._optimize
        if not self._computes:
            guid = self._kept.keep((ctypes.c_uint8 * 16)(*b"kobold-tui plans"))
            backend.guid = ctypes.addressof(guid)
            backend.free = function(lambda _backend: None, None, _POINTER)

    def _new_backend(self, _device: int, _params: int | None) -> int | None:
        if not self._computes:
            return ctypes.addressof(self._backend)
        start = bindings.symbol("ggml_backend_dev_init", _POINTER, _POINTER, ctypes.c_char_p)
        handle: int | None = start(self._cpu.handle, None)
        if handle:
            native = layout.Backend.from_address(handle)
            for name in ("get_name", "device", "event_record", "event_wait", "graph_optimize"):
                setattr(native, name, getattr(self._backend, name))
        return handle

    def _fill_device(self) -> None:
        function, device = self._kept.function, self._device
        buffers, host = ctypes.addressof(self._buffers), ctypes.addressof(self._host_buffers)
        size_pointer = ctypes.POINTER(_SIZE)
        device.get_name = self._buffers.get_name
        device.get_description = self._buffers.alloc_buffer
        device.get_memory = function(self._report_memory, None, _POINTER, size_pointer, size_pointer)
        device.get_type = function(lambda _device: _GPU, ctypes.c_int, _POINTER)
        pointer = ctypes.POINTER(layout.Properties)
        device.get_props = function(self._report_properties, None, _POINTER, pointer)
        device.init_backend = function(self._new_backend, _POINTER, _POINTER, _POINTER)
        device.get_buffer_type = function(lambda _device: buffers, _POINTER, _POINTER)
        device.get_host_buffer_type = function(lambda _device: host, _POINTER, _POINTER)
        device.registry = ctypes.addressof(self._registry)

    def _fill_operations(self) -> None:
        """Set what is asked about operations, tens of thousands of times in a dry run.

        Whether a device takes a buffer type is answered by ggml itself, which compares 16 bytes: those at
        the beginning of a device are the same in its own buffer type and in no other.
        """
        function, device = self._kept.function, self._device
        native = ctypes.CFUNCTYPE(_BOOL, _POINTER, _POINTER)(self._native_cpu.supports_op)
        self._careful = function(answers.make_supports_op(native), _BOOL, _POINTER, _POINTER)
        device.supports_op = self._careful
        device.supports_buft = address_of(bindings.symbol("ggml_guid_matches", _BOOL, _POINTER, _POINTER))
        device.offload_op = function(answers.make_offload_op(), _BOOL, _POINTER, _POINTER)
        event = ctypes.addressof(self._kept.keep(layout.Event(device=ctypes.addressof(device))))
        device.event_new = function(lambda _device: event, _POINTER, _POINTER)
        ignore = function(lambda _device, _event: None, None, _POINTER, _POINTER)
        device.event_free = device.event_synchronize = ignore

    def _sizes(self) -> tuple[int, int]:
        """Free and total memory."""
        total = self.card.total_bytes or self.card.free_bytes
        return max(self.card.free_bytes - self._memory.used_bytes, 0), total

    def _report_memory(self, _device: int, free: Any, total: Any) -> None:
        free[0], total[0] = self._sizes()

    def _report_properties(self, _device: int, properties: Any) -> None:
        target = properties[0]
        target.name = target.description = self._name
        target.memory_free, target.memory_total = self._sizes()
        target.type, target.device_id = _GPU, self._id
        target.is_async = target.host_buffer = target.events = target.mmap_support = True
        target.buffer_from_host_ptr = False


_PLANNING: list[VirtualGpu] = []
_COMPUTING: list[VirtualGpu] = []


def planning_gpus(
    cards: Sequence[VirtualCard], questions: answers.Questions = answers.ALL_QUESTIONS
) -> tuple[bindings.Device, ...]:
    """Return cards that plan; those of an earlier call are the same objects with other sizes."""
    for index, card in enumerate(cards):
        if index == len(_PLANNING):
            _PLANNING.append(VirtualGpu(index, card, computes=False))
        _PLANNING[index].card = card
        _PLANNING[index].answer(questions)
    return tuple(gpu.device for gpu in _PLANNING[: len(cards)])


def install_from_environment() -> tuple[VirtualGpu, ...]:
    """Put cards that compute in the place of the real ones where `KOBOLD_TUI_VIRTUAL_GPUS` asks for them.

    Raises UsageError for what is no list of sizes, EngineError where this build does not take such cards.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return ()
    if fault := layout.check_layout():
        raise EngineError(
            "No virtual cards",
            f"This build of llama.cpp takes no virtual cards: {fault}.",
            f"Unset {VARIABLE}.",
        )
    gpus = tuple(VirtualGpu(index, card, computes=True) for index, card in enumerate(parse_cards(text)))
    bindings.replace_gpus([gpu.device for gpu in gpus])
    _COMPUTING.extend(gpus)
    return gpus
