"""From the output of a failed command to its cause in words and what to do about it.

The rules are tried in order, so that the one nearest to the cause comes first: a full disk also makes a
compiler fail, and a missing compiler also makes pip fail.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tools.installer.errors import SetupError


class Rule(NamedTuple):
    """A pattern in the output, what it means and what helps."""

    pattern: str
    cause: str
    advice: str


COMPILER_ADVICE = """Install one, then start again:
  Debian, Ubuntu:  sudo apt install build-essential
  Fedora:          sudo dnf install gcc-c++
  macOS:           xcode-select --install"""

NO_COMPILER = "No C++ compiler was found; llama-cpp-python is built from source and needs one."

NO_VENV = Rule(
    r"ensurepip is not available|No module named '?(venv|ensurepip)",
    "This Python cannot create virtual environments.",
    "Install the missing part: sudo apt install python3-venv (or python3.12-venv for that version), then "
    "start again.",
)

OUT_OF_MEMORY = Rule(
    r"Killed signal|std::bad_alloc|[Cc]annot allocate memory|virtual memory exhausted|MemoryError",
    "The machine ran out of memory during the build.",
    "Build with fewer compilers at once: CMAKE_BUILD_PARALLEL_LEVEL=1 make run",
)

RULES = (
    Rule(
        r"No space left on device|Errno 28\b|Disk quota exceeded",
        "The disk is full.",
        "Free some space for .venv, the cache and temporary files (TMPDIR may name a place with room), then "
        "start again.",
    ),
    NO_VENV,
    Rule(
        r"CERTIFICATE_VERIFY_FAILED|SSLError|invalid peer certificate",
        "The package index could not be reached safely: its certificate is not trusted here.",
        "Behind a company proxy, point SSL_CERT_FILE and PIP_CERT at its certificates, then start again.",
    ),
    Rule(
        r"[Nn]ame resolution|Name or service not known|nodename nor servname|NewConnectionError|dns error"
        r"|Failed to establish a new connection|Network is unreachable|Connection refused|ConnectTimeout"
        r"|Read timed out|ProxyError|Max retries exceeded|error sending request|[Cc]onnection reset",
        "The package index could not be reached.",
        "Check the network connection, and the proxy if there is one (HTTPS_PROXY), then start again. What "
        "is installed already is kept.",
    ),
    OUT_OF_MEMORY,
    Rule(
        r"No CMAKE_C(XX)?_COMPILER could be found|CMAKE_C(XX)?_COMPILER not set|compiler .* is not able",
        NO_COMPILER,
        COMPILER_ADVICE,
    ),
    Rule(
        r"unsupported (GNU|clang) version|nvcc fatal|CMAKE_CUDA_COMPILER|CUDA Toolkit not found",
        "The CUDA compiler (nvcc) could not build llama-cpp-python.",
        "Install a CUDA toolkit that fits driver and C++ compiler, or keep to the CPU: make run CUDA=0",
    ),
    Rule(
        r"CMake Error|ninja: build stopped|Failed building wheel|Failed to build|CMake configuration failed",
        "llama-cpp-python could not be built.",
        "The compiler's message stands above and in the log. Without a GPU build it may go: make run CUDA=0",
    ),
    Rule(
        r"requires a different Python|Requires-Python|requires-python",
        "A package does not support this version of Python.",
        "Choose another one: make run PYTHON=python3.12",
    ),
    Rule(
        r"from versions: none",
        "The package index gave no version at all.",
        "It could not be reached, or it is a mirror that lacks the package: check the network, the proxy "
        "(HTTPS_PROXY) and the mirror (PIP_INDEX_URL, UV_INDEX_URL), then start again.",
    ),
    Rule(
        r"No matching distribution found|No solution found|not found in the package registry",
        "The package index does not offer a version that is needed for this machine.",
        "A mirror (PIP_INDEX_URL, UV_INDEX_URL) may be incomplete; without one, try another Python: "
        "make run PYTHON=python3.12",
    ),
    Rule(
        r"Permission denied|Errno 13\b|Read-only file system",
        "A file or folder here may not be written.",
        "Check who owns the checkout and the cache folder named above, then start again.",
    ),
)


def diagnose(output: str, exit_code: int) -> SetupError:
    """Return the error that explains `output`, the whole text that a failed command wrote."""
    if exit_code == -9:
        return SetupError(OUT_OF_MEMORY.cause, OUT_OF_MEMORY.advice)
    for rule in RULES:
        if re.search(rule.pattern, output):
            return SetupError(rule.cause, rule.advice)
    return SetupError(f"A command ended with exit code {exit_code}.", "Its last words stand above.")


def telling_tail(output: str, count: int = 12) -> list[str]:
    """Return the last lines of `output` that say something, from the first error among them on."""
    lines = [line.rstrip() for line in output.splitlines() if not re.match(r"\s*$|DEBUG|TRACE", line)]
    tail = lines[-60:]
    hits = [
        n for n, line in enumerate(tail) if re.search(r"\berror\b|CMake Error|fatal", line, re.IGNORECASE)
    ]
    start = hits[0] if hits else max(0, len(tail) - count)
    return [line[:200] for line in tail[start : start + count]]
