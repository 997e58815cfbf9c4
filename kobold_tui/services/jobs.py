"""Background jobs: long work with progress, a cancel key and an end that is announced."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.job import Job, JobId
from kobold_tui.services.loop_bound import LoopBound

KEEP_ENDED = 50


class JobProgress:
    """What the work of a job reports with; every call replaces what was said before."""

    def __init__(self, jobs: JobsService, job_id: JobId) -> None:
        self._jobs = jobs
        self._id = job_id

    def __call__(self, done: int, total: int | None = None, detail: str = "") -> None:
        """Say that `done` of `total` units are finished; None for a total that is not known."""
        self._jobs.update(self._id, done=done, total=total, detail=detail)


class JobsService(LoopBound):
    """Runs jobs and tells everybody who watches; ended jobs stay listed, the last 50 of them."""

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self._jobs: dict[JobId, Job] = {}
        self._tasks: dict[JobId, asyncio.Task[None]] = {}
        self._watchers: set[asyncio.Queue[Job]] = set()

    def start(self, title: str, work: Callable[[JobProgress], Awaitable[object]]) -> JobId:
        """Start `work(progress)` in the background and return its id at once."""
        self.check_loop()
        job_id = JobId(next(self._ids))
        self._publish(Job(id=job_id, title=title))
        self._tasks[job_id] = asyncio.create_task(self._run(job_id, work))
        return job_id

    async def cancel(self, job_id: JobId) -> None:
        """Cancel a job and wait for its end; a job that has ended is left as it is."""
        self.check_loop()
        task = self._tasks.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs, oldest first."""
        return tuple(self._jobs.values())

    async def watch(self) -> AsyncIterator[Job]:
        """Yield every job as it is now and then every change."""
        self.check_loop()
        queue: asyncio.Queue[Job] = asyncio.Queue()
        for job in self._jobs.values():
            queue.put_nowait(job)
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    def update(self, job_id: JobId, *, done: int, total: int | None, detail: str) -> None:
        """Change the progress of a running job."""
        job = self._jobs[job_id]
        if job.status == "running":
            self._publish(msgspec.structs.replace(job, done=done, total=total, detail=detail))

    async def close(self) -> None:
        """Cancel everything that runs."""
        for job_id in tuple(self._tasks):
            await self.cancel(job_id)

    async def _run(self, job_id: JobId, work: Callable[[JobProgress], Awaitable[object]]) -> None:
        try:
            await work(JobProgress(self, job_id))
        except asyncio.CancelledError:
            self._publish(msgspec.structs.replace(self._jobs[job_id], status="cancelled"))
        except KoboldError as error:
            self._fail(job_id, error.failure)
        except Exception as error:  # noqa: BLE001 - a job must not take the service down
            self._fail(job_id, Failure(title="Internal error", message=f"{type(error).__name__}: {error}"))
        else:
            self._publish(msgspec.structs.replace(self._jobs[job_id], status="done"))
        finally:
            del self._tasks[job_id]
            self._forget_old()

    def _fail(self, job_id: JobId, failure: Failure) -> None:
        self._publish(msgspec.structs.replace(self._jobs[job_id], status="failed", failure=failure))

    def _publish(self, job: Job) -> None:
        self._jobs[job.id] = job
        for queue in self._watchers:
            queue.put_nowait(job)

    def _forget_old(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.status != "running"]
        for job_id in ended[:-KEEP_ENDED]:
            del self._jobs[job_id]
