"""Downloads in the background: one after the other, stopped at once, found again, never in anybody's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from fake_hub import FakeHub, item
from hub_bench import CONTENT, REPO, Bench

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.hub import DownloadRequest, HubRepo
from kobold_tui.domain.job import Job, JobId
from kobold_tui.services.downloads import MOST_QUESTIONS, DownloadsService
from kobold_tui.services.jobs import JobsService


@contextlib.asynccontextmanager
async def open_jobs() -> AsyncIterator[JobsService]:
    jobs = JobsService()
    try:
        yield jobs
    finally:
        await jobs.close()


def job_of(jobs: JobsService, job_id: JobId) -> Job:
    return next(job for job in jobs.jobs() if job.id == job_id)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - threads set no event of this loop
            await asyncio.sleep(0.005)


def request(quantization: str = "Q4_K_M") -> DownloadRequest:
    return DownloadRequest(repo="a/b", revision="1", item=item(quantization, 1000), folder="/models")


async def test_a_download_runs_in_the_background_and_ends_as_a_job(bench: Bench) -> None:
    async with open_jobs() as jobs:
        service = bench.service(jobs)
        wanted = bench.request()
        job_id = await service.start(wanted)
        assert service.running() == {job_id: wanted}
        await until(lambda: not service.running())
        await until(lambda: job_of(jobs, job_id).status == "done")
        assert job_of(jobs, job_id).done == len(CONTENT)
        assert bench.target.read_bytes() == CONTENT
        assert await service.unfinished() == ()


async def test_a_cancelled_download_is_kept_and_offered_again(bench: Bench) -> None:
    async with open_jobs() as jobs:
        service = bench.service(jobs)
        bench.server.faults.stall_after = 100_000
        job_id = await service.start(bench.request())
        await asyncio.to_thread(bench.server.stalling.wait, 20)
        await until(lambda: job_of(jobs, job_id).done)
        await jobs.cancel(job_id)
        assert job_of(jobs, job_id).status == "cancelled"
        (found,) = await service.unfinished()
        assert found.done_bytes == bench.parts[0].stat().st_size > 0
        bench.server.faults.stall_after = None
        again = await service.start(found.request)
        await until(lambda: job_of(jobs, again).status == "done")
        assert bench.target.read_bytes() == CONTENT


async def test_the_next_start_of_the_program_offers_what_was_begun(bench: Bench) -> None:
    async with open_jobs() as jobs:
        service = bench.service(jobs)
        bench.server.faults.stall_after = 100_000
        await service.start(bench.request())
        await asyncio.to_thread(bench.server.stalling.wait, 20)
    async with open_jobs() as jobs:
        (found,) = await bench.service(jobs).unfinished()
        assert found.request.repo == REPO
        freed = await bench.service(jobs).discard(found.request)
        assert (freed, bench.parts) == (found.done_bytes, [])


async def test_a_failed_download_is_a_failed_job_in_words(bench: Bench) -> None:
    async with open_jobs() as jobs:
        service = bench.service(jobs)
        bench.server.faults.corrupt_at = 5
        job_id = await service.start(bench.request())
        await until(lambda: job_of(jobs, job_id).status == "failed")
        failure = job_of(jobs, job_id).failure
        assert failure is not None
        assert failure.title == "Damaged in transit"
        assert "Download it again" in failure.hint


async def test_downloads_take_turns_in_the_order_of_their_start() -> None:
    hub = FakeHub()
    async with open_jobs() as jobs:
        service = hub.service(jobs)
        first, second = await service.start(request("Q4_0")), await service.start(request("Q8_0"))
        await until(lambda: job_of(jobs, second).detail == "waiting for its turn")
        assert [begun.request.item.quantization for begun in hub.begun] == ["Q4_0"]
        hub.begun[0].end.set()
        await until(lambda: len(hub.begun) == 2)
        hub.begun[1].end.set()
        await until(lambda: job_of(jobs, second).status == "done")
        assert job_of(jobs, first).status == "done"


async def test_the_same_download_twice_is_one() -> None:
    hub = FakeHub()
    async with open_jobs() as jobs:
        service = hub.service(jobs)
        assert await service.start(request()) == await service.start(request())
        assert len(service.running()) == 1


async def test_one_that_waits_can_be_cancelled_without_the_one_that_runs() -> None:
    hub = FakeHub()
    async with open_jobs() as jobs:
        service = hub.service(jobs)
        first, second = await service.start(request("Q4_0")), await service.start(request("Q8_0"))
        await until(lambda: job_of(jobs, second).detail)
        await jobs.cancel(second)
        assert job_of(jobs, first).status == "running"
        assert list(service.running()) == [first]
        assert not hub.begun[0].stopped


async def test_a_thread_that_does_not_end_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kobold_tui.services.downloads.STOP_SECONDS", 0.05)
    hub = FakeHub()
    async with open_jobs() as jobs:
        service = hub.service(jobs)
        job_id = await service.start(request())
        await until(lambda: hub.begun and hub.begun[0].running.is_set())
        hub.begun[0].ignores_stop = True
        await asyncio.wait_for(jobs.cancel(job_id), 20)
        assert job_of(jobs, job_id).status == "cancelled"
        hub.begun[0].end.set()


async def test_only_downloads_are_watched() -> None:
    hub = FakeHub()
    hub.finish_at_once = True
    async with open_jobs() as jobs:
        service = hub.service(jobs)
        jobs.start("Something else", lambda _: asyncio.sleep(0))
        job_id = await service.start(request())
        async with asyncio.timeout(20):
            async for job in service.watch():
                assert job.id == job_id
                if job.status == "done":
                    break


async def test_questions_to_a_silent_hub_are_limited_and_the_next_still_answered(bench: Bench) -> None:
    async with open_jobs() as jobs:
        service = bench.service(jobs)
        bench.hold_answers()
        stuck = [asyncio.create_task(service.listing(REPO)) for _ in range(MOST_QUESTIONS)]
        await until(lambda: len(bench.server.asked) == MOST_QUESTIONS)
        with pytest.raises(KoboldError, match="earlier questions"):
            await service.listing(REPO)
        bench.let_answers_go()
        assert {listing.repo.id for listing in await asyncio.gather(*stuck)} == {REPO}
        assert (await service.listing(REPO)).repo.id == REPO


async def test_free_memory_is_unknown_where_the_hardware_does_not_answer(bench: Bench) -> None:
    async with open_jobs() as jobs:
        assert await bench.service(jobs).free() is None
        free = await FakeHub().service(jobs).free()
        assert free is not None
        assert free.ram_bytes == 20 * 1024**3


async def test_models_go_to_a_folder_named_as_the_hub_names_them() -> None:
    hub = FakeHub()
    hub.add(HubRepo(id="a/b"), item("Q4_0", 1))
    async with open_jobs() as jobs:
        service: DownloadsService = hub.service(jobs)
        assert await service.folder_for("a/b") == "/models/a/b"
