"""What loads took on a card beside the buffers that llama.cpp counts, learned from one load to the next.

The driver's context, workspaces and pools are in no header and no dry run; they depend on card and driver.
The file is a cache: one that is missing or broken counts as empty, and failing to write it is no error.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from pathlib import Path

import msgspec

KEPT_LOADS = 9
LARGEST_BYTES = 8 * 1024**3
"""More than any context ever took: a figure beyond is another program's doing."""

_MAX_FILE_BYTES = 1024 * 1024
_MAX_CARDS = 1000


class OverheadFile:
    """Overheads by kind of card and driver; every call may block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[int]] | None = None

    def of(self, card: str) -> int:
        """Return the median of the last loads on such a card, in bytes; 0 where there was none."""
        loads = self._loads().get(card)
        return int(statistics.median(loads)) if loads else 0

    def learn(self, card: str, n_bytes: int) -> None:
        """Take note of a load; what cannot be an overhead is left out."""
        if not 0 <= n_bytes <= LARGEST_BYTES:
            return
        known = self._loads()
        if card not in known and len(known) >= _MAX_CARDS:
            return
        known[card] = [*known.get(card, []), n_bytes][-KEPT_LOADS:]
        self._save(known)

    def _loads(self) -> dict[str, list[int]]:
        if self._known is None:
            self._known = _read(self._path)
        return self._known

    def _save(self, known: dict[str, list[int]]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(known))
            temporary.replace(self._path)


def _read(path: Path) -> dict[str, list[int]]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            return {}
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, list[int]])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    sound = {card: [n for n in loads if 0 <= n <= LARGEST_BYTES] for card, loads in found.items()}
    return {card: loads[-KEPT_LOADS:] for card, loads in sound.items() if loads}
