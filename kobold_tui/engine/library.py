"""What the installed llama-cpp-python can do, told from its files: nothing is imported or started."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ACCELERATORS = {
    "cuda": "CUDA",
    "hip": "ROCm",
    "vulkan": "Vulkan",
    "sycl": "SYCL",
    "metal": "Metal",
    "cann": "CANN",
}

_LIBRARY = re.compile(r"(?:lib)?ggml-([a-z0-9]+)\.(?:so|dylib|dll)$")


def library_directory() -> Path | None:
    """Return the folder of llama.cpp's shared libraries, None where llama-cpp-python is not installed."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "lib"


def accelerators(directory: Path | None = None) -> tuple[str, ...]:
    """Return the GPU backends that the library was built with, such as `("CUDA",)`; empty for a CPU build."""
    directory = directory or library_directory()
    if directory is None or not directory.is_dir():
        return ()
    names = (_LIBRARY.match(file.name) for file in directory.iterdir())
    found = {match[1] for match in names if match}
    return tuple(label for name, label in ACCELERATORS.items() if name in found)
