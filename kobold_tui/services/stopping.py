"""Reads the events of an answer until somebody says stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from kobold_tui.domain.generation import GenerateEvent


async def until(events: AsyncIterator[GenerateEvent], stop: asyncio.Event) -> AsyncIterator[GenerateEvent]:
    """Yield events until they end or `stop` is set; then the iterator is closed, which cancels the answer."""
    stopped = asyncio.ensure_future(stop.wait())
    following: asyncio.Future[GenerateEvent | None] | None = None
    try:
        while True:
            following = asyncio.ensure_future(_next(events))
            await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done() or (event := following.result()) is None:
                return
            yield event
    finally:
        stopped.cancel()
        if following is not None and not following.done():
            following.cancel()
            await asyncio.wait({following})
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def _next(events: AsyncIterator[GenerateEvent]) -> GenerateEvent | None:
    return await anext(events, None)
