"""Frames arrive cut anywhere; what is no frame ends the connection."""

from __future__ import annotations

import asyncio
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.engine import wire
from kobold_tui.engine.channel import Channel


class Recorder:
    """Keeps every reply; the last one is `Done`."""

    def __init__(self) -> None:
        self.replies: list[wire.Reply] = []

    def receive(self, reply: wire.Reply) -> bool:
        self.replies.append(reply)
        return isinstance(reply, wire.Done)

    def fail(self, error: Exception) -> None:
        raise error


class Sink:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connected() -> tuple[Channel, Sink]:
    channel, sink = Channel(), Sink()
    channel.connection_made(cast("asyncio.BaseTransport", sink))
    return channel, sink


def requests_in(data: bytes) -> list[wire.AnyRequest]:
    requests = []
    while data:
        length = wire.body_length(data[: wire.HEADER_BYTES])
        requests.append(wire.decode_request(data[wire.HEADER_BYTES : wire.HEADER_BYTES + length]))
        data = data[wire.HEADER_BYTES + length :]
    return requests


@given(st.lists(st.tuples(st.integers(1, 3), st.text(max_size=40)), max_size=20), st.data())
def test_replies_reach_who_waits_for_them_however_the_bytes_are_cut(
    replies: list[tuple[int, str]], data: st.DataObject
) -> None:
    stream = b"".join(wire.encode(wire.Text(id=id_, text=text)) for id_, text in replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))

    async def exchange() -> None:
        channel, _ = connected()
        recorders = {channel.new_id(): Recorder() for _ in range(3)}
        for id_, recorder in recorders.items():
            channel.submit(wire.Ping(id=id_), recorder)
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            channel.data_received(stream[begin:end])
        for id_, recorder in recorders.items():
            assert recorder.replies == [wire.Text(id=n, text=text) for n, text in replies if n == id_]

    asyncio.run(exchange())


@given(st.binary(min_size=4, max_size=64))
def test_any_bytes_are_frames_or_end_the_connection(garbage: bytes) -> None:
    async def exchange() -> None:
        channel, sink = connected()
        channel.data_received(garbage)
        assert sink.aborted == (channel.broken is not None)
        channel.data_received(b"more")

    asyncio.run(exchange())


async def test_frames_before_the_broken_one_still_count() -> None:
    channel, sink = connected()
    recorder = Recorder()
    channel.submit(wire.Ping(id=7), recorder)
    channel.data_received(wire.encode(wire.Text(id=7, text="fine")) + b"\xff\xff\xff\xff")
    assert recorder.replies == [wire.Text(id=7, text="fine")]
    assert sink.aborted


async def test_an_abandoned_request_is_cancelled_once_and_its_late_replies_are_dropped() -> None:
    channel, sink = connected()
    recorder = Recorder()
    channel.submit(wire.Ping(id=5), recorder)
    channel.abandon(5)
    channel.abandon(5)
    channel.data_received(wire.encode(wire.Done(id=5)))
    assert recorder.replies == []
    ping, cancel = requests_in(sink.written)
    assert isinstance(ping, wire.Ping)
    assert isinstance(cancel, wire.Cancel)
    assert cancel.target == 5


async def test_an_answered_request_needs_no_cancel() -> None:
    channel, sink = connected()
    channel.submit(wire.Ping(id=5), Recorder())
    channel.data_received(wire.encode(wire.Done(id=5)))
    channel.abandon(5)
    assert len(requests_in(sink.written)) == 1
    assert channel.waiting == ()
