"""An OpenAI-compatible server on loopback that follows a script; it breaks exactly when it is told to.

`answers` maps a path to what is answered next there, one after the other; the last one stays. Nothing waits
for time: what hangs does so until `released` is set or the other side leaves, which `left` tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    """A whole answer: `data` is a JSON document, or bytes that are sent as they are."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Stream:
    """Events, each a JSON document or raw bytes; `then` says how it ends: "done", "close", "drop", "hang"."""

    events: Sequence[Any] = ()
    then: str = "done"


@dataclass
class Drop:
    """The connection is closed before anything is answered."""


Answer = Reply | Stream | Drop


def delta(text: str, **more: Any) -> dict[str, Any]:
    """Return the event of a piece of a chat answer."""
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


def end(reason: str = "stop") -> dict[str, Any]:
    """Return the event that ends a chat answer."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    """Return the event that counts tokens."""
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def model(name: str = "tiny", owner: str = "somebody", **more: Any) -> dict[str, Any]:
    """Return a row of the list of models."""
    return {"id": name, "object": "model", "owned_by": owner, **more}


def models(*rows: dict[str, Any]) -> Reply:
    """Return the answer that lists models."""
    return Reply({"object": "list", "data": list(rows)})


HELLO = Stream([delta("Hel"), delta("lo"), delta(" there"), end(), usage(7, 3)])


class OpenAiServer:
    """`async with OpenAiServer() as server:`; `server.url` is what a preset would name."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {
            "/v1/models": [models(model())],
            "/v1/chat/completions": [HELLO],
        }
        self.asked: list[Asked] = []
        self.released = asyncio.Event()
        self.left = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> OpenAiServer:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen; a second time on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The address of the endpoint."""
        return f"http://127.0.0.1:{self._port}/v1"

    def asked_at(self, path: str) -> list[Asked]:
        """Return the requests for one path."""
        return [asked for asked in self.asked if asked.path == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.left.set()
        finally:
            self._tasks.discard(task)
            with contextlib.suppress(ConnectionError):
                writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; false when the connection is over."""
        asked = await _read(reader)
        if asked is None:
            return False
        self.asked.append(asked)
        script = self.answers.get(asked.path, [Reply({"error": {"message": "not here"}}, 404)])
        answer = script.pop(0) if len(script) > 1 else script[0]
        match answer:
            case Reply():
                writer.write(_whole(answer))
                await writer.drain()
                return True
            case Stream():
                return await self._stream(reader, writer, answer)
        return False

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Stream
    ) -> bool:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for event in answer.events:
            writer.write(_chunk(event if isinstance(event, bytes) else _event(event)))
            await writer.drain()
        match answer.then:
            case "done":
                writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            case "close":
                writer.write(b"0\r\n\r\n")
            case "hang":
                await self._hang(reader)
                return False
            case "drop":
                return False
        await writer.drain()
        return True

    async def _hang(self, reader: asyncio.StreamReader) -> None:
        released = asyncio.ensure_future(self.released.wait())
        left = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({released, left}, return_when=asyncio.FIRST_COMPLETED)
        if left.done():
            self.left.set()
        released.cancel()
        left.cancel()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    data = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, path, headers, json.loads(data) if data else None)


def _whole(answer: Reply) -> bytes:
    data = answer.data if isinstance(answer.data, bytes) else json.dumps(answer.data).encode()
    lines = [f"HTTP/1.1 {answer.status} Scripted", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def _event(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
