"""What deleting a model would do, told before anything is deleted."""

from __future__ import annotations

import msgspec


class DoomedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that would go. `freed_bytes` is 0 for a link, and for data that stays under another name.

    `identity` is device, inode, size and time of change: a file that differs from it is another one by now.
    """

    path: str
    freed_bytes: int
    identity: tuple[int, int, int, int]


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """All files that would go with a model, and notes on what stays."""

    name: str
    files: tuple[DoomedFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def freed_bytes(self) -> int:
        """Bytes that would be free afterwards."""
        return sum(file.freed_bytes for file in self.files)
