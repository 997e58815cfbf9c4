"""Reservations of memory, shared by all copies of the program on one machine.

Each process has a file of its own in one folder, written as a whole; whoever plans reads all of them and
believes those whose process still runs, so that nothing has to be tidied up after a crash. The folder is
shared by all users of the machine: a file counts only when it belongs to the user whose number it bears.
A lock makes "look, then reserve" one step. Somebody who holds the lock for too long is not waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from kobold_tui.domain.ledger import Reservation, fits
from kobold_tui.storage.process_identity import is_alive, own_identity

LOCK_SECONDS = 2.0
_POLL_SECONDS = 0.01
_MAX_BYTES = 256 * 1024
_MAX_FILES = 4096
_SHARED_FOLDER = 0o1777
_READABLE = 0o644
_NAME = re.compile(r"(\d+)-(\d+)\.json")


class LedgerFile:
    """The reservations of this process and the sight of all others; every call may block for a moment."""

    def __init__(
        self,
        folder: Path,
        *,
        owner: str | None = None,
        alive: Callable[[str], bool] = is_alive,
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        self._folder = folder
        self._owner = owner or own_identity()
        self._alive = alive
        self._lock_seconds = lock_seconds
        self._own: dict[str, Reservation] = {}
        tag = re.sub(r"\D", "", self._owner)[-12:] if owner else str(os.getpid())
        self._file = folder / f"{os.getuid()}-{tag or '0'}.json"

    def reservations(self) -> tuple[Reservation, ...]:
        """Return all reservations of processes that run, our own among them."""
        return (*self._own.values(), *self._others())

    def claim(self, instance: str, needs: Mapping[str, int], free: Mapping[str, int]) -> bool:
        """Reserve `needs` for an instance where `free` has room for it beside all others.

        Looking and reserving are one step for all copies of the program. A reservation that the instance
        has already is replaced where it fits, and stays where it does not.
        """
        with self._locked():
            others = [
                other
                for other in self.reservations()
                if (other.owner, other.instance) != (self._owner, instance)
            ]
            if not fits(needs, free, others):
                return False
            self._put(instance, needs)
            return True

    def force(self, instance: str, needs: Mapping[str, int]) -> None:
        """Reserve without looking, for somebody who loads anyway."""
        with self._locked():
            self._put(instance, needs)

    def drop(self, instance: str) -> None:
        """Give a reservation back; one that there is not is nothing to do."""
        if self._own.pop(instance, None) is not None:
            self._write()

    def close(self) -> None:
        """Give everything back."""
        self._own.clear()
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _put(self, instance: str, needs: Mapping[str, int]) -> None:
        self._own[instance] = Reservation(owner=self._owner, instance=instance, bytes_by_device=dict(needs))
        self._write()

    def _write(self) -> None:
        """Make our reservations known; a folder that cannot be written leaves them known to us alone."""
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._make_folder()
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _READABLE)
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, _READABLE)
                file.write(msgspec.json.encode(tuple(self._own.values())))
            temporary.replace(self._file)

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(_SHARED_FOLDER)

    def _others(self) -> Iterator[Reservation]:
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder))[:_MAX_FILES]
        except OSError:
            return
        for name in names:
            found = _NAME.fullmatch(name)
            if found and name != self._file.name:
                yield from self._living(name, int(found[1]))

    def _living(self, name: str, user: int) -> Iterator[Reservation]:
        for reservation in _read(self._folder / name, user):
            if self._alive(reservation.owner):
                yield reservation

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, or go on without it where it cannot be had."""
        fd = self._open_lock()
        try:
            if fd is not None:
                self._wait_for(fd)
            yield
        finally:
            if fd is not None:
                os.close(fd)

    def _open_lock(self) -> int | None:
        """Open the lock file without creating it where it exists: systems forbid that for files of others."""
        path = self._folder / "lock"
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDONLY | flags)
        with contextlib.suppress(OSError):
            self._make_folder()
            fd = os.open(path, os.O_RDONLY | os.O_CREAT | flags, _READABLE)
            os.fchmod(fd, _READABLE)
            return fd
        return None

    def _wait_for(self, fd: int) -> None:
        until = time.monotonic() + self._lock_seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until:
                    return
                time.sleep(_POLL_SECONDS)
            else:
                return


def _read(path: Path, user: int) -> tuple[Reservation, ...]:
    """Return what a file holds; nothing where it is not a small plain file of that user."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ()
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != user or status.st_size > _MAX_BYTES:
            return ()
        try:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=tuple[Reservation, ...])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ()
