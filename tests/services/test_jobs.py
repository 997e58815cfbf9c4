"""Background jobs: progress, an end that is announced, cancel, and failures that stay their own."""

from __future__ import annotations

import asyncio

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.job import Job, JobId
from kobold_tui.services.jobs import KEEP_ENDED, JobProgress, JobsService


async def ended(jobs: JobsService, job_id: JobId) -> Job:
    async for job in jobs.watch():
        if job.id == job_id and job.status != "running":
            return job
    raise AssertionError


async def test_a_job_reports_progress_and_its_end() -> None:
    jobs, go = JobsService(), asyncio.Event()

    async def work(progress: JobProgress) -> None:
        progress(3, 10, "three of ten")
        await go.wait()

    job_id = jobs.start("Download", work)
    seen = []
    async for job in jobs.watch():
        seen.append((job.status, job.fraction))
        if job.fraction is not None:
            go.set()
        if job.status == "done":
            break
    assert seen == [("running", None), ("running", 0.3), ("done", 0.3)]
    assert jobs.jobs()[0].id == job_id


async def test_a_cancelled_job_has_ended_when_cancel_returns() -> None:
    jobs = JobsService()

    async def work(_progress: JobProgress) -> None:
        await asyncio.Event().wait()

    job_id = jobs.start("Bench", work)
    await asyncio.sleep(0)
    await jobs.cancel(job_id)
    assert jobs.jobs()[0].status == "cancelled"


async def test_a_failing_job_keeps_its_words_and_leaves_others_alone() -> None:
    jobs = JobsService()

    async def fail(_progress: JobProgress) -> None:
        raise KoboldError("Disk full", "There is no room.", "Delete something.")

    async def surprise(_progress: JobProgress) -> None:
        raise ZeroDivisionError

    async def fine(_progress: JobProgress) -> None:
        return

    ids = [jobs.start(title, work) for title, work in [("a", fail), ("b", surprise), ("c", fine)]]
    first, second, third = [await ended(jobs, job_id) for job_id in ids]
    assert first.failure is not None
    assert first.failure.message == "There is no room."
    assert second.failure is not None
    assert "ZeroDivisionError" in second.failure.message
    assert third.status == "done"


async def test_only_the_newest_ended_jobs_stay_listed() -> None:
    jobs = JobsService()

    async def fine(_progress: JobProgress) -> None:
        return

    for number in range(KEEP_ENDED + 5):
        await ended(jobs, jobs.start(str(number), fine))
    assert len(jobs.jobs()) == KEEP_ENDED
    assert jobs.jobs()[-1].title == str(KEEP_ENDED + 4)
