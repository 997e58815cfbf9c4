"""The wish that a download ends, from another thread: it also wakes a read that waits for a silent server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2


class DownloadStoppedError(Exception):
    """The download was stopped; what has arrived is kept."""


class Stop:
    """Set once by whoever waits, asked again and again by the thread that downloads."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._guard = threading.Lock()
        self._connection: socket.socket | None = None

    def set(self) -> None:
        """Stop at once, also in the middle of a read."""
        self._wanted.set()
        with self._guard:
            if self._connection is not None:
                _shut(self._connection)

    def check(self) -> None:
        """Raise DownloadStoppedError once it is wanted."""
        if self._wanted.is_set():
            raise DownloadStoppedError

    def wait(self, seconds: float) -> None:
        """Let time pass; raises DownloadStoppedError as soon as it is wanted."""
        if self._wanted.wait(seconds):
            raise DownloadStoppedError

    @contextlib.contextmanager
    def wakes(self, response: httpx2.Response) -> Iterator[None]:
        """While this is open, `set` also ends the response's connection."""
        stream = response.extensions.get("network_stream")
        found = stream.get_extra_info("socket") if stream is not None else None
        with self._guard:
            self._connection = found if isinstance(found, socket.socket) else None
        try:
            self.check()
            yield
        finally:
            with self._guard:
                self._connection = None


def _shut(connection: socket.socket) -> None:
    """End a connection under a thread that reads from it; TLS is not told, its state is that thread's own."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
