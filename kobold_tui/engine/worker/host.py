"""What this process may use of the machine: cores and memory, with the limits of its container.

A container's limits stand in cgroup files and not in the usual counters; a worker that ignores them runs
too many threads or is killed by the kernel.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

_CGROUP_ROOT = Path("/sys/fs/cgroup")


def _cgroup_folders() -> list[Path]:
    """Folders of this process's cgroup (version 2), innermost first."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    inner = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    folder = _CGROUP_ROOT / inner
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(_CGROUP_ROOT))]


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _cores_of_quota(folder: Path) -> int | None:
    match _read_words(folder / "cpu.max"):
        case [quota, period] if quota.isdigit() and period.isdigit() and int(period):
            return max(1, math.ceil(int(quota) / int(period)))
    return None


def usable_cores() -> int:
    """CPU cores that this process may run on: its affinity mask, at most its container's quota."""
    has_mask = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_mask else os.cpu_count() or 1
    quotas = [quota for folder in _cgroup_folders() if (quota := _cores_of_quota(folder))]
    return max(1, min([cores, *quotas]))


def _free_in_cgroup(folder: Path) -> int | None:
    limit, used = _read_words(folder / "memory.max"), _read_words(folder / "memory.current")
    if not limit or not used or not limit[0].isdigit():
        return None
    words = _read_words(folder / "memory.stat")
    statistics = dict(zip(words[::2], words[1::2], strict=False))
    reclaimable = int(statistics.get("inactive_file", 0))
    return max(0, int(limit[0]) - int(used[0]) + reclaimable)


def available_memory_bytes() -> int:
    """RAM that can be taken without swapping, within the container's limit."""
    free = [psutil.virtual_memory().available]
    free += [room for folder in _cgroup_folders() if (room := _free_in_cgroup(folder)) is not None]
    return min(free)
