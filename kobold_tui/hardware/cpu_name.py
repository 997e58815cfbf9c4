"""What the processor is called, for those who compare machines."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_MOST_BYTES = 64 * 1024


def cpu_name(root: Path = Path("/")) -> str:
    """Return the processor's name as the system has it, its architecture where it has none."""
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_BYTES)
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine() or "unknown CPU"


def usable_cpus() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
