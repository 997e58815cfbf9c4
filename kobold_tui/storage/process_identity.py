"""Tells whether the process that began something still runs, also after its number was given away again.

A number alone is not enough: it is reused. So a process is named by the boot of its machine, its number
and the moment it started.
"""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN_BOOT = "-"


def own_identity() -> str:
    """Return the name of this process."""
    return f"{_boot()}/{os.getpid()}/{_started(os.getpid())}"


def is_alive(identity: str) -> bool:
    """Whether the process of that name still runs on this machine."""
    boot, _, rest = identity.partition("/")
    pid, _, started = rest.partition("/")
    return boot == _boot() and pid.isdecimal() and bool(started) and _started(int(pid)) == started


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _UNKNOWN_BOOT


def _started(pid: int) -> str:
    """Return when a process started, in the unit of the platform; an empty string where there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _started_by_psutil(pid)
    return status.rpartition(")")[2].split()[19]


def _started_by_psutil(pid: int) -> str:
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""
