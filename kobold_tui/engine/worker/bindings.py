"""llama.cpp's C API as ctypes functions, its log, and the devices that it found.

The package `llama_cpp` imports numpy and jinja2 when it is imported; only its module of bindings is wanted,
so an empty stand-in package is put into `sys.modules` first: a sixth of the time and half of the memory.
All symbols are looked up through libllama itself: wheels carry several copies of the ggml libraries, and
opening one by its file name gives a second, empty registry of devices.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from kobold_tui.domain.errors import EngineError

_INSTALL_HINT = "Run `kobold-tui doctor`: it names the command that mends the installation."
_LEVEL_INFO, _LEVEL_ERROR, _LEVEL_CONTINUE = 2, 4, 5  # enum ggml_log_level in ggml.h
_KIND_CPU, _KIND_GPU, _KIND_IGPU = 0, 1, 2  # enum ggml_backend_dev_type in ggml-backend.h


def _stand_in() -> ModuleType:
    """Return an empty package in the place of `llama_cpp`. Raises EngineError when it is not installed."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("No engine", "The Python package llama-cpp-python is not installed.", _INSTALL_HINT)
    stand_in = ModuleType("llama_cpp")
    stand_in.__spec__ = spec
    stand_in.__path__ = list(spec.submodule_search_locations)
    return stand_in


def _import_bindings() -> Any:
    if "llama_cpp" not in sys.modules:
        sys.modules["llama_cpp"] = _stand_in()
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    except (OSError, RuntimeError, AttributeError) as error:
        raise EngineError(
            "No engine", f"llama.cpp's library cannot be loaded: {error}.", _INSTALL_HINT
        ) from error


C: Any = _import_bindings()


def symbol(name: str, result: Any, *arguments: Any) -> Any:
    """Return a function of llama.cpp or ggml that the package has no binding for.

    Raises EngineError when this build has no such symbol.
    """
    library = C._lib  # noqa: SLF001 - the handle of the library is not published under another name
    try:
        function = getattr(library, name)
    except AttributeError as error:
        raise EngineError(
            "Unexpected llama.cpp build", f"This build of llama.cpp has no function {name}.", _INSTALL_HINT
        ) from error
    function.restype = result
    function.argtypes = arguments
    return function


# What llama.cpp writes about a decode that was told to stop; 1 is GGML_STATUS_ABORTED in ggml.h.
_ABORT_LINES = re.compile(
    r"graph_compute: \S+ failed with error 1$|process_ubatch: failed to compute graph, compute status: 1$"
    r"|decode: removing memory module entries |llama_decode: failed to decode, ret = 2$"
)


class NativeLog:
    """Receives llama.cpp's log: lines of INFO and above go to stderr, and are kept on request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partial = ""
        self._level = _LEVEL_INFO
        self._written_level = _LEVEL_INFO
        self._recorders: list[tuple[int, list[str]]] = []
        self._callback = C.llama_log_callback(self._receive)  # a collected callback would crash the process

    def install(self) -> None:
        """Make llama.cpp write here instead of to the terminal."""
        C.llama_log_set(self._callback, None)

    def write_errors_only(self) -> None:
        """From now on keep to errors what goes to stderr: a planner would fill the log in no time."""
        self._written_level = _LEVEL_ERROR

    def record_errors(self) -> contextlib.AbstractContextManager[list[str]]:
        """Collect the error lines that are written meanwhile, oldest first."""
        return self._record(_LEVEL_ERROR)

    def record_all(self) -> contextlib.AbstractContextManager[list[str]]:
        """Collect the lines of INFO and above that are written meanwhile, oldest first."""
        return self._record(_LEVEL_INFO)

    @contextlib.contextmanager
    def _record(self, level: int) -> Iterator[list[str]]:
        lines: list[str] = []
        self._recorders.append((level, lines))
        try:
            yield lines
        finally:
            self._recorders = [recorder for recorder in self._recorders if recorder[1] is not lines]

    def _receive(self, level: int, text: bytes, _user_data: int | None) -> None:
        with self._lock:
            if level != _LEVEL_CONTINUE:
                self._level = level
            *lines, self._partial = (self._partial + text.decode("utf-8", "replace")).split("\n")
            for line in lines:
                self._take(line)

    def _take(self, line: str) -> None:
        if _ABORT_LINES.match(line):
            return
        for level, lines in self._recorders:
            if self._level >= level and line.strip():
                lines.append(line.strip())
        if self._level >= self._written_level:
            with contextlib.suppress(OSError):
                os.write(2, (line + "\n").encode())


class Device(NamedTuple):
    """A device that llama.cpp can compute on; `handle` is its ggml_backend_dev_t."""

    name: str
    description: str
    kind: int
    handle: int

    @property
    def is_gpu(self) -> bool:
        """Whether layers can be offloaded to it."""
        return self.kind in {_KIND_GPU, _KIND_IGPU}

    @property
    def is_cpu(self) -> bool:
        """Whether it is the CPU itself."""
        return self.kind == _KIND_CPU

    @property
    def free_bytes(self) -> int:
        """Memory that is free on the device now."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        pointer = ctypes.POINTER(ctypes.c_size_t)
        query = symbol("ggml_backend_dev_memory", None, ctypes.c_void_p, pointer, pointer)
        query(self.handle, ctypes.byref(free), ctypes.byref(total))
        return free.value

    @property
    def buffer_type(self) -> int:
        """The device's own ggml_backend_buffer_type_t."""
        handle = symbol("ggml_backend_dev_buffer_type", ctypes.c_void_p, ctypes.c_void_p)(self.handle)
        return int(handle or 0)


def device_from_handle(handle: int) -> Device:
    """Describe a ggml_backend_dev_t."""
    name = symbol("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)(handle)
    description = symbol("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)(handle)
    kind = symbol("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)(handle)
    return Device(name.decode(), description.decode("utf-8", "replace"), kind, handle)


_replaced_gpus: list[tuple[Device, ...]] = []


def replace_gpus(gpus: Sequence[Device]) -> None:
    """Let loads from now on see these GPUs in place of those that llama.cpp found."""
    _replaced_gpus[:] = [tuple(gpus)]


@contextlib.contextmanager
def other_gpus(gpus: Sequence[Device]) -> Iterator[None]:
    """Let loads see these GPUs meanwhile."""
    before = _replaced_gpus[:]
    replace_gpus(gpus)
    try:
        yield
    finally:
        _replaced_gpus[:] = before


def gpus_are_replaced() -> bool:
    """Whether llama.cpp has to be told which GPUs there are."""
    return bool(_replaced_gpus)


def devices() -> tuple[Device, ...]:
    """All devices in llama.cpp's order, the CPU among them."""
    found = _found_devices()
    if not _replaced_gpus:
        return found
    return (*_replaced_gpus[0], *(device for device in found if not device.is_gpu))


@functools.cache
def _found_devices() -> tuple[Device, ...]:
    initialise()
    get = symbol("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    count = symbol("ggml_backend_dev_count", ctypes.c_size_t)()
    return tuple(device_from_handle(get(index)) for index in range(count))


def gpu_names() -> tuple[str, ...]:
    """Names of the devices that layers can be offloaded to, such as CUDA0."""
    return tuple(device.name for device in devices() if device.is_gpu)


def buffer_type_name(handle: int) -> str:
    """Return the name of a ggml_backend_buffer_type_t, such as CUDA0 or CPU."""
    name: bytes = symbol("ggml_backend_buft_name", ctypes.c_char_p, ctypes.c_void_p)(handle)
    return name.decode()


def supports_gpu_offload() -> bool:
    """Whether this build offloads layers; one that cannot ignores `n_gpu_layers` without a word."""
    initialise()
    return bool(_replaced_gpus[0]) if _replaced_gpus else bool(C.llama_supports_gpu_offload())


@functools.cache
def version() -> str:
    """Version of llama-cpp-python and of the llama.cpp in it."""
    text = Path(C.__file__).with_name("__init__.py").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"__version__\s*=\s*[\"']([^\"']+)", text)
    package = found.group(1) if found else "unknown"
    return f"{package} (llama.cpp {C.llama_version().decode()})" if hasattr(C, "llama_version") else package


NATIVE_LOG = NativeLog()


@functools.cache
def initialise() -> None:
    """Start llama.cpp's backends once, with the log already in place."""
    NATIVE_LOG.install()
    C.llama_backend_init()
