"""Server-sent events: a stream of bytes becomes the data of one event after the other.

Only `data:` lines matter to OpenAI's protocol. Lines end in LF, CRLF or CR; a line or an event that grows
without end is an error before it fills the memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

MAX_EVENT_BYTES = 8 * 1024 * 1024


class OversizeError(ValueError):
    """An event is larger than any that makes sense."""


async def events(pieces: AsyncIterable[bytes], most: int = MAX_EVENT_BYTES) -> AsyncIterator[bytes]:
    """Yield the data of each event; one that the stream breaks off in the middle of is left out."""
    data: list[bytes] = []
    size = 0
    async for line in _lines(pieces, most):
        if not line:
            if data:
                yield b"\n".join(data)
            data, size = [], 0
        elif line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            size += len(value)
            if size > most:
                raise OversizeError(f"an event of more than {most} bytes")
            data.append(value)


async def _lines(pieces: AsyncIterable[bytes], most: int) -> AsyncIterator[bytes]:
    """Yield lines without their ends; a CR at the end of a piece waits for the LF that may follow."""
    rest = b""
    async for piece in pieces:
        text = (rest + piece).replace(b"\r\n", b"\n")
        held = b"\r" if text.endswith(b"\r") else b""
        text = (text[:-1] if held else text).replace(b"\r", b"\n")
        *whole, rest = text.split(b"\n")
        rest += held
        if len(rest) > most:
            raise OversizeError(f"a line of more than {most} bytes")
        for line in whole:
            yield line
    if rest.endswith(b"\r"):
        yield rest[:-1]
