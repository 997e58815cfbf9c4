"""The wire seen from the program: bytes to frames, and every reply to the request that waits for it.

Frames are handled as they arrive, never queued whole, so one slow reader of an answer delays nobody else. A
reply to a request that nobody waits for any more (it was cancelled) is dropped.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Protocol, cast

from kobold_tui.engine import wire


class Waiter(Protocol):
    """Whoever waits for the replies to one request."""

    def receive(self, reply: wire.Reply) -> bool:
        """Take a reply; true when it was the last one. Raises FrameError where the reply does not fit."""
        ...

    def fail(self, error: Exception) -> None:
        """There will be no reply."""
        ...


class Channel(asyncio.Protocol):
    """One connection to a worker; `closed` settles when it ends, `broken` says whether by a bad frame."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.hello: asyncio.Future[wire.Hello] = loop.create_future()
        self.broken: wire.FrameError | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = bytearray()
        self._waiters: dict[int, Waiter] = {}
        self._ids = itertools.count(1)

    def new_id(self) -> int:
        """Return an id for the next request."""
        return next(self._ids)

    @property
    def waiting(self) -> tuple[int, ...]:
        """Ids of the requests without a complete answer."""
        return tuple(self._waiters)

    def send(self, request: wire.AnyRequest) -> None:
        """Send a request without waiting for a reply; a closed connection swallows it.

        Raises FrameError for a request too large, UnicodeEncodeError for text that is no Unicode.
        """
        frame = wire.encode(request)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def submit(self, request: wire.AnyRequest, waiter: Waiter) -> None:
        """Send a request whose replies go to `waiter`."""
        self._waiters[request.id] = waiter
        try:
            self.send(request)
        except (wire.FrameError, UnicodeEncodeError):
            del self._waiters[request.id]
            raise

    def abandon(self, request_id: int) -> None:
        """Tell the worker to stop a request whose replies nobody wants any more; unknown ids are ignored."""
        if self._waiters.pop(request_id, None) is not None:
            self.send(wire.Cancel(id=self.new_id(), target=request_id))

    def fail_all(self, error: Exception) -> None:
        """Tell everyone who waits that there will be no reply."""
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters.values():
            waiter.fail(error)

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (called by the loop)."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes, cut anywhere (called by the loop)."""
        if self.broken is not None:
            return
        self._buffer += data
        try:
            self._read_frames()
        except wire.FrameError as error:
            self.broken = error
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - given by the loop
        """End (called by the loop)."""
        if not self.closed.done():
            self.closed.set_result(None)

    def _read_frames(self) -> None:
        start = 0
        try:
            while (body := self._next_body(start)) is not None:
                start += wire.HEADER_BYTES + len(body)
                self._route(wire.decode_reply(body))
        finally:
            del self._buffer[:start]

    def _next_body(self, start: int) -> bytes | None:
        """Return the frame that begins at `start`, None while it is incomplete."""
        begin = start + wire.HEADER_BYTES
        if len(self._buffer) < begin:
            return None
        end = begin + wire.body_length(bytes(self._buffer[start:begin]))
        return bytes(self._buffer[begin:end]) if len(self._buffer) >= end else None

    def _route(self, reply: wire.AnyReply) -> None:
        if isinstance(reply, wire.Hello):
            if not self.hello.done():
                self.hello.set_result(reply)
            return
        waiter = self._waiters.get(reply.id)
        if waiter is not None and waiter.receive(reply):
            del self._waiters[reply.id]
