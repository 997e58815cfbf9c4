"""One kind of planner process, at most one at a time, and the requests that wait for it.

A process that crashes or hangs costs the request that it was at; the next request starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard
from kobold_tui.engine import wire
from kobold_tui.engine.connection import Deadlines, WorkerConnection
from kobold_tui.engine.endings import LOG_LINES
from kobold_tui.engine.log_tail import LogTail
from kobold_tui.engine.spawn import Launch

_WITHOUT = "The prediction without a dry run still works."


class SupersededError(EngineError):
    """A newer request took the place of this one before it was begun."""


class PlannerDeadlines(msgspec.Struct, frozen=True, kw_only=True):
    """How long a planner may take, and how long it is kept."""

    start_seconds: Annotated[float, Meta(description="from its start to its hello")] = 60.0
    answer_seconds: Annotated[float, Meta(description="for one dry run")] = 60.0
    idle_seconds: Annotated[float, Meta(description="without a request until it ends")] = 60.0
    end_seconds: Annotated[float, Meta(description="to end by itself")] = 1.0


DEFAULT_DEADLINES = PlannerDeadlines()


class Job:
    """A request and who waits for it."""

    def __init__(self, spec: LoadSpec, cards: tuple[VirtualCard, ...] | None, *, replaceable: bool) -> None:
        self.spec = spec
        self.cards = cards
        self.replaceable = replaceable
        self.answer: asyncio.Future[MemoryEstimate] = asyncio.get_running_loop().create_future()


class Lane:
    """The processes of one role, one at a time, and the requests that wait for them.

    `fallback` is what is launched instead once a process did not survive its start; a lane with one ends its
    process as soon as nothing waits.
    """

    def __init__(
        self, launch: Launch, deadlines: PlannerDeadlines, *, fallback: Launch | None = None
    ) -> None:
        self._launch = launch
        self._fallback = fallback
        self._deadlines = deadlines
        self._idle_seconds = deadlines.idle_seconds if fallback is None else 0.0
        self._jobs: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()
        self._worker: WorkerConnection | None = None
        self._capabilities: PlannerCapabilities | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The present process."""
        return self._worker.pid if self._worker else None

    async def measure(self, job: Job) -> MemoryEstimate:
        """Carry a request out after those before it. Raises EngineError, `SupersededError` among others."""
        if job.replaceable:
            self._drop_replaceable()
        self._jobs.append(job)
        self._arrived.set()
        self._keep_running()
        try:
            return await job.answer
        finally:
            if job in self._jobs:
                self._jobs.remove(job)

    async def capabilities(self) -> PlannerCapabilities:
        """Return what the self-test found, or in words why there was none."""
        if self._capabilities is None:
            async with self._turn:
                try:
                    await self._ready_worker()
                except EngineError as error:
                    return _unable(error)
            self._keep_running()
        return self._capabilities or _unable(None)

    async def close(self) -> None:
        """End the process and give up what waits."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        while self._jobs:
            _fail(self._jobs.popleft(), _given_up())
        await self._end_worker()

    def _keep_running(self) -> None:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())

    def _drop_replaceable(self) -> None:
        for job in [job for job in self._jobs if job.replaceable]:
            self._jobs.remove(job)
            _fail(job, SupersededError("Newer settings", "Other settings were asked about meanwhile."))

    async def _run(self) -> None:
        """Answer requests until none has come for a while."""
        while await self._wait_for_job():
            async with self._turn:
                await self._carry_out_next()
        async with self._turn:
            await self._end_worker()
        if self._jobs:  # one came while the process ended
            self._running = asyncio.create_task(self._run())

    async def _wait_for_job(self) -> bool:
        if self._jobs:
            return True
        self._arrived.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._idle_seconds):
                await self._arrived.wait()
        return bool(self._jobs)

    async def _carry_out_next(self) -> None:
        """Settle one request, whatever happens to the process."""
        if not self._jobs:
            return
        job = self._jobs.popleft()
        try:
            worker = await self._ready_worker()
            async with asyncio.timeout(self._deadlines.answer_seconds):
                reply = await worker.call(
                    lambda id_: wire.DryRun(id=id_, spec=job.spec, cards=job.cards), wire.Memory
                )
        except TimeoutError:
            error = self._too_slow(job)
            await self._end_worker()
            _fail(job, error)
        except EngineError as error:
            lost = self._worker is None or self._worker.failure is not None
            if lost:
                await self._end_worker()
            _fail(job, _broken(job, error) if lost else error)
        except asyncio.CancelledError:
            _fail(job, _given_up())
            raise
        else:
            if not job.answer.done():
                job.answer.set_result(reply.estimate)

    async def _ready_worker(self) -> WorkerConnection:
        """Return a process that has said hello, a new one where there is none. Raises EngineError."""
        if self._worker is not None and self._worker.failure is None:
            return self._worker
        await self._end_worker()
        try:
            return await self._start(self._launch)
        except EngineError:
            if self._fallback is None:
                raise
            self._launch, self._fallback = self._fallback, None
            return await self._start(self._launch)

    async def _start(self, launch: Launch) -> WorkerConnection:
        deadlines = self._deadlines
        worker = self._worker = WorkerConnection(
            launch,
            LogTail(),
            model="the dry run",
            deadlines=Deadlines(
                start_seconds=deadlines.start_seconds,
                unload_seconds=deadlines.end_seconds,
                terminate_seconds=deadlines.end_seconds,
            ),
        )
        try:
            hello = await worker.start()
        except BaseException:
            await self._end_worker()
            raise
        self._capabilities = hello.planner
        return worker

    async def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()

    def _too_slow(self, job: Job) -> EngineError:
        return EngineError(
            "The dry run took too long",
            f"The dry run of {Path(job.spec.path).name} gave no answer for "
            f"{self._deadlines.answer_seconds:g} seconds and was ended.",
            _WITHOUT,
            self._worker.log.last(LOG_LINES) if self._worker else (),
        )


def _given_up() -> EngineError:
    return EngineError("Planning ended", "The dry run was given up.", "Ask again.")


def _fail(job: Job, error: EngineError) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _broken(job: Job, error: EngineError) -> EngineError:
    return EngineError(
        "The dry run failed",
        f"The dry run of {Path(job.spec.path).name} did not end well. {error.message}",
        _WITHOUT,
        error.log_tail,
    )


def _unable(error: EngineError | None) -> PlannerCapabilities:
    reason = error.message if error else "The planner made no self-test."
    return PlannerCapabilities(breakdown=False, virtual_cards=False, reason=reason)
