"""The bridge to the backend: calls, streams, cancellation and the end, across two loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.jobs import JobsService
from kobold_tui.services.loop_bound import LoopBound


class Probe(LoopBound):
    """A service that notes what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = threading.Event()
        self.closed = threading.Event()
        self.entered = threading.Event()

    async def thread_name(self) -> str:
        self.check_loop()
        return threading.current_thread().name

    async def hang(self) -> None:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def count(self, until: int) -> AsyncIterator[int]:
        for number in range(until):
            yield number

    async def endless(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            self.cancelled.set()


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[Probe]:
    probe = Probe()
    try:
        yield probe
    finally:
        probe.closed.set()


@pytest.fixture
async def backend() -> AsyncIterator[BackendThread[Probe]]:
    backend = BackendThread(opened)
    backend.start()
    yield backend
    assert await backend.close()


async def test_calls_run_on_the_backend_thread(backend: BackendThread[Probe]) -> None:
    assert await backend.call(lambda probe: probe.thread_name()) == "backend"


async def test_a_service_refuses_a_loop_that_is_not_its_own(backend: BackendThread[Probe]) -> None:
    async def itself(probe: Probe) -> Probe:
        return probe

    probe = await backend.call(itself)
    with pytest.raises(RuntimeError, match="not its own"):
        await probe.thread_name()


async def test_cancelling_a_call_cancels_the_work(backend: BackendThread[Probe]) -> None:
    async def itself(probe: Probe) -> Probe:
        return probe

    probe = await backend.call(itself)
    call = asyncio.create_task(backend.call(lambda probe: probe.hang()))
    assert await asyncio.to_thread(probe.entered.wait, 5)
    call.cancel()
    assert await asyncio.to_thread(probe.cancelled.wait, 5)


async def test_a_stream_gives_everything_in_order_and_in_batches(backend: BackendThread[Probe]) -> None:
    batches = [batch async for batch in backend.stream(lambda probe: probe.count(20_000), 0.0)]
    assert [item for batch in batches for item in batch] == list(range(20_000))
    assert len(batches) < 20_000


async def test_closing_a_stream_ends_its_source(backend: BackendThread[Probe]) -> None:
    async def itself(probe: Probe) -> Probe:
        return probe

    probe = await backend.call(itself)
    stream = backend.stream(lambda probe: probe.endless())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(probe.cancelled.wait, 5)


async def test_an_error_of_a_stream_reaches_the_reader(backend: BackendThread[Probe]) -> None:
    async def broken(_probe: Probe) -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async for _ in backend.stream(broken):
            pass


async def test_closing_cancels_what_is_under_way_and_then_closes_the_services() -> None:
    backend = BackendThread(opened)
    backend.start()

    async def itself(probe: Probe) -> Probe:
        return probe

    probe = await backend.call(itself)
    call = asyncio.create_task(backend.call(lambda probe: probe.hang()))
    await asyncio.to_thread(probe.entered.wait, 5)
    assert await backend.close()
    assert probe.cancelled.is_set()
    assert probe.closed.is_set()
    with contextlib.suppress(asyncio.CancelledError):
        await call


async def test_work_that_must_finish_does_so_though_its_caller_goes(backend: BackendThread[Probe]) -> None:
    entered, release, finished = threading.Event(), threading.Event(), threading.Event()

    async def store(_probe: Probe) -> None:
        entered.set()
        while not release.is_set():  # noqa: ASYNC110 - the event belongs to another thread
            await asyncio.sleep(0)
        finished.set()

    call = asyncio.create_task(backend.call(store, finish=True))
    assert await asyncio.to_thread(entered.wait, 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await backend.call(lambda probe: probe.thread_name())  # whatever the cancelling caused has happened now
    release.set()
    assert await asyncio.to_thread(finished.wait, 5)


async def test_closing_waits_for_work_that_must_finish_before_it_closes_the_services() -> None:
    backend = BackendThread(opened)
    backend.start()
    entered, closing_asked = threading.Event(), threading.Event()
    open_at_the_end: list[bool] = []

    async def store(probe: Probe) -> None:
        entered.set()
        while not closing_asked.is_set():  # noqa: ASYNC110 - the event belongs to another thread
            await asyncio.sleep(0)
        for _ in range(50):  # turns of the loop in which closing could go on without us
            await asyncio.sleep(0)
        open_at_the_end.append(not probe.closed.is_set())

    call = asyncio.create_task(backend.call(store, finish=True))
    assert await asyncio.to_thread(entered.wait, 5)
    closing = asyncio.create_task(backend.close())
    await asyncio.sleep(0)
    closing_asked.set()
    assert await closing
    await call
    assert open_at_the_end == [True]


async def test_closing_a_stream_ends_a_source_that_gives_nothing(backend: BackendThread[Probe]) -> None:
    waiting, ended = threading.Event(), threading.Event()

    async def silent(_probe: Probe) -> AsyncIterator[int]:
        yield 1
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    stream = backend.stream(silent)
    await anext(stream)
    assert await asyncio.to_thread(waiting.wait, 5)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(ended.wait, 5)


async def test_services_that_cannot_open_fail_every_call_with_the_reason() -> None:
    @contextlib.asynccontextmanager
    async def refused() -> AsyncIterator[Probe]:
        raise PermissionError("no")
        yield Probe()

    backend = BackendThread(refused)
    backend.start()
    with pytest.raises(PermissionError):
        await backend.call(lambda probe: probe.thread_name())
    assert await backend.close()


async def test_jobs_work_through_the_thread() -> None:
    @contextlib.asynccontextmanager
    async def jobs() -> AsyncIterator[JobsService]:
        yield JobsService()

    backend = BackendThread(jobs)
    backend.start()

    async def start(service: JobsService) -> None:
        async def work(progress: object) -> None:
            return

        service.start("Count", work)

    await backend.call(start)
    async for batch in backend.stream(lambda service: service.watch()):
        if batch[-1].status == "done":
            break
    assert await backend.close()
