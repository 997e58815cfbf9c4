"""Blocking work runs beside the loop, in order, and a stuck call is visible instead of contagious."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from kobold_tui.domain.errors import KoboldError
from kobold_tui.services.own_thread import OwnThread


async def test_a_call_returns_the_result_of_the_thread() -> None:
    thread = OwnThread("worker")
    assert await thread.call(lambda: threading.current_thread().name) == "worker"


async def test_a_call_raises_what_the_function_raised() -> None:
    def fail() -> None:
        raise KoboldError("Title", "message")

    with pytest.raises(KoboldError, match="message"):
        await OwnThread("worker").call(fail)


async def test_a_stuck_call_leaves_the_loop_free_and_shows_since_when() -> None:
    thread, entered, release = OwnThread("worker"), threading.Event(), threading.Event()

    def hang() -> str:
        entered.set()
        release.wait()
        return "released"

    stuck = asyncio.create_task(thread.call(hang))
    assert await asyncio.to_thread(entered.wait, 5)
    assert thread.waiting_since is not None
    release.set()
    assert await stuck == "released"


async def test_a_full_inbox_is_an_error_in_words_instead_of_a_wait() -> None:
    thread, entered, release = OwnThread("the disk", inbox=1), threading.Event(), threading.Event()

    def hang() -> bool:
        entered.set()
        return release.wait()

    stuck = asyncio.create_task(thread.call(hang))
    assert await asyncio.to_thread(entered.wait, 5)
    thread.post(lambda: None)
    with pytest.raises(KoboldError, match="the disk has not answered"):
        await thread.call(lambda: None)
    release.set()
    await stuck


async def test_a_stream_gives_every_item_in_order() -> None:
    items = [item async for batch in OwnThread("worker").stream(range, 10_000) for item in batch]
    assert items == list(range(10_000))


async def test_a_reader_that_goes_away_ends_the_producer() -> None:
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    stream = OwnThread("worker").stream(endless)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(ended.wait, 5)
