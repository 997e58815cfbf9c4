"""Figures of dry runs, kept so that a model that was planned for before needs none.

The file is a cache: one that is missing, broken or of another version counts as empty, and failing to write
it is no error.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kobold_tui.domain.memory import MemoryEstimate

KEPT_RUNS = 1000

_MAX_FILE_BYTES = 4 * 1024 * 1024
_MAX_DEVICES = 64


class DryRunFile:
    """Figures by key, the newest last; every call may block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, MemoryEstimate] | None = None

    def find(self, key: str) -> MemoryEstimate | None:
        """Return figures, None where there are none."""
        return self._runs().get(key)

    def keep(self, found: Mapping[str, MemoryEstimate]) -> None:
        """Keep figures; the oldest go when there are too many."""
        known = self._runs()
        for key, estimate in found.items():
            known.pop(key, None)
            known[key] = estimate
        for key in list(known)[: max(len(known) - KEPT_RUNS, 0)]:
            del known[key]
        self._save(known)

    def _runs(self) -> dict[str, MemoryEstimate]:
        if self._known is None:
            self._known = _read(self._path)
        return self._known

    def _save(self, known: dict[str, MemoryEstimate]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(known))
            temporary.replace(self._path)


def _read(path: Path) -> dict[str, MemoryEstimate]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return {}
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, MemoryEstimate])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return {key: estimate for key, estimate in found.items() if _is_sound(estimate)}


def _is_sound(estimate: MemoryEstimate) -> bool:
    """Whether these can be the figures of a dry run."""
    devices = estimate.devices
    sizes = [size for row in devices for size in (row.weights_bytes, row.kv_bytes, row.compute_bytes)]
    return estimate.exact and 0 < len(devices) <= _MAX_DEVICES and all(size >= 0 for size in sizes)
