"""Makes a CUDA build of llama-cpp-python find CUDA's run-time libraries.

Neither the published wheels nor a build of one's own bring `libcudart` and `libcublas`, but both look beside
their own libraries first: so links to the toolkit's, or to NVIDIA's packages, are put there.
"""

from __future__ import annotations

from pathlib import Path

CHECK = """
import sys, types, importlib.util
package = types.ModuleType("llama_cpp")
package.__path__ = list(importlib.util.find_spec("llama_cpp").submodule_search_locations)
sys.modules["llama_cpp"] = package
from llama_cpp import llama_cpp
sys.exit(0 if llama_cpp.llama_supports_gpu_offload() else "the library loads, but sees no GPU")
"""
"""Exits with 0 when the installed library can use a GPU; needs nothing but the bindings themselves."""

TOOLKIT_PLACES = (
    "/usr/local/cuda/lib64",
    "/opt/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
)


def is_library_missing(output: str) -> bool:
    """Whether loading failed for want of one of CUDA's own libraries."""
    return any(name in output for name in ("libcudart", "libcublas"))


def runtime_packages(tag: str) -> tuple[str, ...]:
    """Return NVIDIA's packages with the libraries that the wheel `tag` ("cu124") needs."""
    major, minor = tag[2:4], tag[4:]
    suffix = f"-cu{major}" if int(major) < 13 else ""
    return (f"nvidia-cuda-runtime{suffix}=={major}.{minor}.*", f"nvidia-cublas{suffix}=={major}.*")


def site_packages(venv: Path) -> Path:
    """Return the folder that packages are installed into."""
    return next(venv.glob("lib/python3*/site-packages"))


def link_libraries(venv: Path, nvcc: str | None) -> list[str]:
    """Link CUDA's libraries from the packages, else from the toolkit; returns the names that were linked."""
    packages = site_packages(venv)
    target = packages / "llama_cpp" / "lib"
    toolkit = [str(Path(nvcc).resolve().parent.parent / "lib64")] if nvcc else []
    places = [*packages.glob("nvidia/*/lib"), *(Path(place) for place in (*toolkit, *TOOLKIT_PLACES))]
    linked = []
    for pattern in ("libcudart.so.*", "libcublas.so.*", "libcublasLt.so.*"):
        for library in (found for place in places for found in sorted(place.glob(pattern))):
            link = target / library.name
            if library.name.count(".") == 2 and not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(library)
                linked.append(library.name)
    return linked
