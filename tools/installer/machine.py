"""What this machine offers for building llama-cpp-python.

Asking the NVIDIA driver can take seconds, so a cheap fingerprint of the machine is compared first; only when
it changed is the driver asked. The decision itself stands in the package, where `doctor` uses it too.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from types import ModuleType

from tools.installer.project import short_key

COMPILERS = ("c++", "g++", "clang++")
BYTES_PER_COMPILER = 2 << 30
"""RAM that one compiler needs for the largest of the CUDA kernels."""


def load_cuda_build(root: Path) -> ModuleType:
    """Load `kobold_tui/hardware/cuda_build.py` by its path: the package is not installed yet."""
    path = root / "kobold_tui" / "hardware" / "cuda_build.py"
    spec = importlib.util.spec_from_file_location("kobold_tui_cuda_build", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def fingerprint(root: Path, environ: dict[str, str], cuda_flag: str) -> str:
    """Return a key that changes when a driver, a card or a compiler comes or goes; takes milliseconds."""
    cards = sorted(entry.name for entry in Path("/dev").iterdir() if entry.name.startswith(("nvidia", "dxg")))
    driver = Path("/proc/driver/nvidia/version")
    path = environ.get("PATH")
    return short_key(
        cuda_flag,
        environ.get("CMAKE_ARGS", ""),
        cards,
        driver.read_text("utf-8", "replace") if driver.exists() else "",
        _loads("libnvidia-ml.so.1"),
        shutil.which("nvidia-smi", path=path),
        shutil.which("nvcc", path=path),
        Path(environ.get("CUDA_HOME") or "/usr/local/cuda", "bin", "nvcc").exists(),
        (root / "kobold_tui" / "hardware" / "cuda_build.py").read_text("utf-8"),
    )


def find_compiler(environ: dict[str, str]) -> str | None:
    """Return the C++ compiler: `CXX` where it is set, else the first of the usual names."""
    names = (environ["CXX"].split()[0],) if environ.get("CXX", "").strip() else COMPILERS
    return next((found for name in names if (found := shutil.which(name, path=environ.get("PATH")))), None)


def build_jobs(environ: dict[str, str]) -> int:
    """Return how many compilers may run at once, by processors and RAM; 0 leaves the caller's own choice."""
    if "CMAKE_BUILD_PARALLEL_LEVEL" in environ:
        return 0
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // BYTES_PER_COMPILER))


def build_cache(environ: dict[str, str], tag: str) -> Path:
    """Return the folder that keeps the wheels of one kind of build, apart from all others."""
    home = Path(environ.get("HOME") or Path.home())
    default = home / ("Library/Caches" if platform.system() == "Darwin" else ".cache")
    return Path(environ.get("XDG_CACHE_HOME") or default) / "kobold-tui" / "builds" / tag


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
