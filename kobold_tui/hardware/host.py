"""RAM and CPU of the machine, or of the container where its limit is tighter.

A container sees the machine's memory in /proc, but the kernel ends it at the limit of its control group.
So every group from our own upwards is asked, in both versions of the interface, and the tightest counts.
File pages that the kernel can drop at once (inactive_file) are not taken as used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from kobold_tui.domain.gpu import HostSnapshot


class GroupMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Limit of a control group and what is left below it, in bytes."""

    limit_bytes: int
    available_bytes: int


class HostProbe:
    """Reads the host; `root` is where /proc and /sys are found."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._has_cpu_baseline = False

    def snapshot(self) -> HostSnapshot:
        """Return memory and load now; the load counts since the last call and is None at the first."""
        import psutil

        memory = psutil.virtual_memory()
        swap = psutil.swap_memory()
        total, available = memory.total, memory.available
        for group in group_limits(self._root):
            total = min(total, group.limit_bytes)
            available = min(available, group.available_bytes)
        cpu_percent = psutil.cpu_percent(interval=None)
        known, self._has_cpu_baseline = self._has_cpu_baseline, True
        return HostSnapshot(
            memory_total_bytes=total,
            memory_available_bytes=available,
            swap_total_bytes=swap.total,
            swap_used_bytes=swap.used,
            cpu_percent=cpu_percent if known else None,
        )

    def worker_bytes(self, pids: Mapping[str, int]) -> dict[str, int]:
        """Return the resident bytes of processes by name; those that are gone are left out."""
        if not pids:
            return {}
        import psutil

        sizes: dict[str, int] = {}
        for name, pid in pids.items():
            try:
                sizes[name] = psutil.Process(pid).memory_info().rss
            except psutil.Error:
                continue
        return sizes


def group_limits(root: Path = Path("/")) -> Iterator[GroupMemory]:
    """Yield the memory limits that hold for this process, from its own group upwards."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            yield from _unified(root / "sys/fs/cgroup", path)
        elif "memory" in controllers.split(","):
            yield from _legacy(root / "sys/fs/cgroup/memory", path)


def _unified(mount: Path, path: str) -> Iterator[GroupMemory]:
    for group in _upwards(mount, path):
        limit, current = _number(group / "memory.max"), _number(group / "memory.current")
        droppable = _statistic(group / "memory.stat", "inactive_file")
        yield from _group(limit, current, droppable)


def _legacy(mount: Path, path: str) -> Iterator[GroupMemory]:
    for group in _upwards(mount, path):
        limit = _number(group / "memory.limit_in_bytes")
        current = _number(group / "memory.usage_in_bytes")
        droppable = _statistic(group / "memory.stat", "total_inactive_file")
        yield from _group(limit, current, droppable)


def _group(limit: int | None, current: int | None, droppable: int) -> Iterator[GroupMemory]:
    if limit is None:
        return
    used = max((current or 0) - droppable, 0)
    yield GroupMemory(limit_bytes=limit, available_bytes=max(limit - used, 0))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield a group and all above it; inside a container the path may lead outside of what is mounted."""
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is no file or no limit (`max`)."""
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _statistic(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0
