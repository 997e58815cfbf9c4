"""A file that grows while it is downloaded, is checked as a whole, and gets its name only then.

Its name while it grows holds the beginning of its hash, so that what was begun is never continued with
another file's bytes. The hash is taken while bytes arrive; what was there before is read once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.hub import HubFile
from kobold_tui.domain.units import format_bytes

SUFFIX = ".part"
_READ_BYTES = 4 * 1024 * 1024


def part_path(folder: Path, file: HubFile) -> Path:
    """Return where a file grows."""
    return folder / f"{file.name}.{file.sha256[:8] or file.size_bytes}{SUFFIX}"


def done_bytes(folder: Path, file: HubFile) -> int:
    """Return how much of a file is on the disk, whole or in part; 0 for what cannot be looked at."""
    for path in (folder / file.name, part_path(folder, file)):
        with contextlib.suppress(OSError, ValueError):
            return min(path.stat().st_size, file.size_bytes)
    return 0


class PartFile:
    """The growing file, locked against a second download of it; a context that closes and keeps it."""

    def __init__(self, folder: Path, file: HubFile) -> None:
        self.target = folder / file.name
        self.file = file
        self.size_bytes = 0
        self._path = part_path(folder, file)
        self._hash = hashlib.sha256()

    def __enter__(self) -> PartFile:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            self._stream = os.fdopen(descriptor, "r+b")
        except OSError as error:
            raise disk_error(error, self._path) from None
        try:
            self._lock()
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a full disk has been told already
            self._stream.close()

    def take_up(self, check: Callable[[int], None]) -> None:
        """Read what is there already; `check` is called with the bytes read so far and may raise."""
        if os.fstat(self._stream.fileno()).st_size > self.file.size_bytes:
            self.restart()
        while piece := self._stream.read(_READ_BYTES):
            self._hash.update(piece)
            self.size_bytes += len(piece)
            check(self.size_bytes)

    def append(self, data: bytes) -> None:
        """Take bytes that arrived. Raises KoboldError for a disk that does not."""
        try:
            self._stream.write(data)
        except OSError as error:
            raise disk_error(error, self._path) from None
        self._hash.update(data)
        self.size_bytes += len(data)

    def restart(self) -> None:
        """Forget everything that is there."""
        self._stream.seek(0)
        self._stream.truncate()
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def finish(self, repo: str) -> Path:
        """Check the whole file and give it its name. Raises KoboldError for a wrong hash."""
        found = self._hash.hexdigest()
        if self.file.sha256 not in ("", found):
            self._discard()
            raise wrong_hash(self.target, repo, self.file, found)
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._rename()
        except OSError as error:
            raise disk_error(error, self.target) from None
        _sync_folder(self.target.parent)
        return self.target

    def _rename(self) -> None:
        if os.path.lexists(self.target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.target))
        self._path.rename(self.target)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KoboldError(
                "Already being downloaded",
                f"{self.target}: another download of this file is under way.",
                "Wait for its end, or cancel it.",
            ) from None
        except OSError:  # file systems that know no locks
            return


def hash_of(path: Path, check: Callable[[int], None]) -> str:
    """Return the sha256 of a file; `check` is called with the bytes read so far and may raise."""
    digest, done = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_READ_BYTES):
                digest.update(piece)
                done += len(piece)
                check(done)
    except OSError as error:
        raise KoboldError(
            "Cannot read a file", f"{path}: {error.strerror}.", "Check your permission to read it."
        ) from None
    return digest.hexdigest()


def disk_error(error: OSError, path: Path) -> KoboldError:
    """Return what a disk's refusal means for the person who downloads."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return KoboldError(
            "Disk full",
            f"{path}: there is no space left.",
            "What has arrived is kept: free some space and start the download again.",
        )
    if error.errno == errno.EEXIST:
        return in_the_way(path)
    return KoboldError(
        "Cannot write a file", f"{path}: {error.strerror}.", "Make the folder writable, or choose another."
    )


def in_the_way(path: Path) -> KoboldError:
    """Return the error for another file that has the name already."""
    return KoboldError(
        "A file is in the way",
        f"{path} is there already and is another file.",
        "Move it away, or download into another folder.",
    )


def wrong_hash(path: Path, repo: str, file: HubFile, found: str) -> KoboldError:
    """Return the error for bytes that are not what the hub promised; they have been deleted."""
    return KoboldError(
        "Damaged in transit",
        f"{path}: what arrived is not what {repo} states: its sha256 is {found}, not {file.sha256}. "
        f"The {format_bytes(file.size_bytes)} that arrived were deleted.",
        "Download it again; where that ends the same way, the hub's copy or a proxy is at fault.",
    )


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, on file systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
