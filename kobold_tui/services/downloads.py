"""Search the hub, see what fits here, and download it: one at a time, in the background, resumable.

A question to the hub and a download each have a daemon thread of their own, so that a silent server delays
neither the next question nor the end of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.hub import DownloadRequest, HubItem, HubListing, HubRepo, Progress, Unfinished
from kobold_tui.domain.job import Job, JobId
from kobold_tui.domain.size_rule import FreeMemory, free_memory
from kobold_tui.domain.units import format_bytes, format_seconds
from kobold_tui.services.batches import Batches
from kobold_tui.services.jobs import JobProgress, JobsService
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread

T = TypeVar("T")

MOST_QUESTIONS = 8
MEASURE_SECONDS = 3.0
STOP_SECONDS = 1.0
"""A stopped download has this long to put down what it holds; then nobody waits for it any more."""


class HubClient(Protocol):
    """Questions to the hub; every call may block."""

    def search(self, words: str, limit: int = 50) -> tuple[HubRepo, ...]:
        """Return repositories with GGUF files that fit the words."""
        ...

    def listing(self, repo: str) -> HubListing:
        """Return what a repository offers."""
        ...


class Download(Protocol):
    """One download; `run` blocks until all of it is on the disk, `stop` ends it from another thread."""

    def run(self, report: Callable[[Progress], None]) -> tuple[Path, ...]:
        """Return the files; `report` is called in the same thread."""
        ...

    def stop(self) -> None:
        """End it soon; what has arrived is kept."""
        ...


class Notes(Protocol):
    """What was begun and not ended."""

    def keep(self, request: DownloadRequest) -> None:
        """Note that a download has begun."""
        ...

    def drop(self, request: DownloadRequest) -> None:
        """Forget a download that has ended."""
        ...

    def discard(self, request: DownloadRequest) -> int:
        """Forget a download and delete what there is of it; returns the bytes freed."""
        ...

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Return what can be gone on with."""
        ...


class DownloadsService(LoopBound):
    """Everything about models that are not on this machine yet; `models_dir` is where they go by default."""

    def __init__(  # noqa: PLR0913 - each is a part of its own
        self,
        *,
        hub: HubClient,
        download: Callable[[DownloadRequest], Download],
        notes: Notes,
        jobs: JobsService,
        models_dir: Path,
        measure: Callable[[], Awaitable[Telemetry]],
    ) -> None:
        super().__init__()
        self._hub = hub
        self._download = download
        self._notes = notes
        self._jobs = jobs
        self._measure = measure
        self._turn = asyncio.Lock()
        self._asked: list[OwnThread] = []
        self._running: dict[JobId, DownloadRequest] = {}
        self._started: set[JobId] = set()
        self.models_dir = models_dir

    async def search(self, words: str, limit: int = 50) -> tuple[HubRepo, ...]:
        """Return repositories with GGUF files that fit the words. Raises KoboldError."""
        return await self._ask(self._hub.search, words, limit)

    async def listing(self, repo: str) -> HubListing:
        """Return what a repository offers. Raises KoboldError."""
        return await self._ask(self._hub.listing, repo)

    async def free(self) -> FreeMemory | None:
        """Return what is free for a model; None where the hardware does not answer."""
        self.check_loop()
        with contextlib.suppress(KoboldError, TimeoutError):
            return free_memory(await asyncio.wait_for(self._measure(), MEASURE_SECONDS))
        return None

    async def unfinished(self) -> tuple[Unfinished, ...]:
        """Return downloads that were begun and neither ended nor run now."""
        running = list(self._running.values())
        found = await self._ask(self._notes.unfinished)
        return tuple(item for item in found if item.request not in running)

    async def discard(self, request: DownloadRequest) -> int:
        """Forget an unfinished download and delete its parts; returns the bytes that this freed."""
        return await self._ask(self._notes.discard, request)

    async def folder_for(self, repo: str) -> str:
        """Return where the files of a repository go by default: a folder of its own, as the hub has it."""
        return str(self.models_dir.joinpath(*repo.split("/")))

    async def start(self, request: DownloadRequest) -> JobId:
        """Download in the background, after those begun before; the same one twice is one job."""
        self.check_loop()
        for job_id, running in self._running.items():
            if running == request:
                return job_id

        async def work(progress: JobProgress) -> None:
            try:
                async with contextlib.aclosing(self.fetch(request)) as steps:
                    async for now in steps:
                        progress(now.done_bytes, now.total_bytes, describe(now))
            finally:
                self._running.pop(job_id, None)

        job_id = self._jobs.start(f"Download {title_of(request.item)}", work)
        self._running[job_id] = request
        self._started.add(job_id)
        return job_id

    async def watch(self) -> AsyncIterator[Job]:
        """Yield the jobs of all downloads as they are now, and then every change."""
        async for job in self._jobs.watch():
            if job.id in self._started:
                yield job

    def running(self) -> dict[JobId, DownloadRequest]:
        """Return the downloads that run or wait for their turn, oldest first."""
        return dict(self._running)

    async def fetch(self, request: DownloadRequest) -> AsyncGenerator[Progress, None]:
        """Download while this is iterated; to leave it stops the download and keeps what has arrived."""
        self.check_loop()
        total = request.size_bytes
        if self._turn.locked():
            yield Progress(done_bytes=0, total_bytes=total, doing="waiting for its turn")
        async with self._turn:
            await self._ask(self._notes.keep, request)
            async with contextlib.aclosing(self._fetched(request)) as progress:
                async for now in progress:
                    yield now
            await self._ask(self._notes.drop, request)
        yield Progress(done_bytes=total, total_bytes=total, doing="done")

    async def _fetched(self, request: DownloadRequest) -> AsyncGenerator[Progress, None]:
        batches: Batches[Progress] = Batches(asyncio.get_running_loop())
        ended = asyncio.Event()
        download, thread = self._download(request), OwnThread("download")

        async def work() -> None:
            try:
                await thread.call(download.run, batches.put)
            except Exception as error:  # noqa: BLE001 - every error belongs to the reader
                batches.close(error)
            finally:
                batches.close()
                ended.set()

        task = asyncio.create_task(work())
        try:
            async for batch in batches.read(0.0):
                yield batch[-1]
        finally:
            download.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), STOP_SECONDS)
            task.cancel()
            thread.close()

    async def _ask(self, function: Callable[..., T], *args: object) -> T:
        """Call something that blocks, in a thread that ends with it."""
        self.check_loop()
        self._asked = [thread for thread in self._asked if thread.waiting_since is not None]
        if len(self._asked) >= MOST_QUESTIONS:
            raise KoboldError(
                "Not responding", "The hub has not answered earlier questions.", "Wait a little."
            )
        thread = OwnThread("hub")
        self._asked.append(thread)
        try:
            return await thread.call(function, *args)
        finally:
            thread.close()


def title_of(item: HubItem) -> str:
    """Return what an item is called where there is one line for it."""
    return f"{item.name} ({len(item.files)} files)" if len(item.files) > 1 else item.name


def describe(progress: Progress) -> str:
    """Return what a progress line says beside the bar: speed and time left, or what is under way."""
    if progress.doing:
        return progress.doing
    speed, left = progress.bytes_per_second, progress.seconds_left
    parts = [f"{format_bytes(round(speed))}/s"] if speed is not None else []
    if left is not None:
        parts.append(f"{format_seconds(left)} left")
    return " · ".join(parts)
