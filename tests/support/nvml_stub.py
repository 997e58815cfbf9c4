"""A stand-in for NVIDIA's library, compiled once for a run: cards that move, fail, hang, get lost, come back.

In another process it is found by `environment()`; in this one by `loaded()`. What it does can be changed at
any time by `tell`, whose lines are explained in `nvml/control.h`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "nvml"
LIBRARY = "libnvidia-ml.so.1"

UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, TIMEOUT = 1, 3, 4, 9, 10
FUNCTION_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED, UNKNOWN = 13, 15, 16, 999


@functools.cache
def library_folder() -> Path:
    """Compile the stub with the C compiler and return the folder that holds it, gone when the run ends."""
    folder = Path(tempfile.mkdtemp(prefix="nvml-stub-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compiler = os.environ.get("CC", "cc").split()
    options = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread"]
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    command = [*compiler, *options, "-o", str(folder / LIBRARY), *sources, "-lm"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder


class Stub:
    """One machine's driver; `folder` keeps what it is told."""

    def __init__(self, folder: Path, cards: int = 2, lines: Sequence[str] = ()) -> None:
        self._control = folder / "nvml-stub"
        self._cards = cards
        self.tell(*lines)

    def tell(self, *lines: str, cards: int | None = None) -> None:
        """Replace everything that the driver was told, in one step."""
        self._cards = self._cards if cards is None else cards
        written = self._control.with_suffix(".new")
        written.write_text("".join(f"{line}\n" for line in (f"cards {self._cards}", *lines)))
        written.replace(self._control)

    @property
    def calls(self) -> list[str]:
        """The functions called so far, while `trace` was told."""
        file = Path(f"{self._control}.calls")
        return file.read_text().split() if file.exists() else []

    def environment(self) -> dict[str, str]:
        """Return the variables with which another process finds the stub."""
        inherited = os.environ.get("LD_LIBRARY_PATH")
        places = [str(library_folder()), *([inherited] if inherited else [])]
        return {"LD_LIBRARY_PATH": os.pathsep.join(places), "NVML_STUB": str(self._control)}

    @contextlib.contextmanager
    def loaded(self) -> Iterator[None]:
        """Let NVIDIA's bindings find the stub in this process; what hangs in it is released at the end."""
        bindings: Any = importlib.import_module("pynvml")
        before = bindings.nvmlLib, os.environ.get("NVML_STUB")
        os.environ["NVML_STUB"] = str(self._control)
        bindings.nvmlLib = ctypes.CDLL(str(library_folder() / LIBRARY))
        bindings._nvmlGetFunctionPointer_cache.clear()
        try:
            yield
        finally:
            self.tell()
            bindings.nvmlLib = before[0]
            bindings._nvmlGetFunctionPointer_cache.clear()
            if before[1] is None:
                del os.environ["NVML_STUB"]
            else:
                os.environ["NVML_STUB"] = before[1]
