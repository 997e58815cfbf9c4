"""A hub without a network: repositories by name, downloads that go on when they are told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import HostSnapshot, Telemetry
from kobold_tui.domain.hub import (
    DownloadRequest,
    HubFile,
    HubItem,
    HubListing,
    HubRepo,
    Progress,
    Unfinished,
)
from kobold_tui.services.downloads import DownloadsService
from kobold_tui.services.jobs import JobsService

GIB = 1024**3


def item(quantization: str, size_bytes: int, *, parts: int = 1, name: str = "tiny") -> HubItem:
    """Return a model of a repository."""
    stem = f"{name}-{quantization}"
    names = (
        [f"{stem}.gguf"] if parts == 1 else [f"{stem}-{i + 1:05d}-of-{parts:05d}.gguf" for i in range(parts)]
    )
    files = tuple(HubFile(path=path, size_bytes=size_bytes // parts, sha256="ab" * 32) for path in names)
    return HubItem(name=stem, quantization=quantization, files=files)


class FakeHub:
    """What there is; `trouble` is raised in place of every answer."""

    def __init__(self) -> None:
        self.repos: list[HubRepo] = []
        self.items: dict[str, tuple[HubItem, ...]] = {}
        self.trouble: KoboldError | None = None
        self.searched: list[str] = []
        self.begun: list[FakeDownload] = []
        self.notes: dict[str, Unfinished] = {}
        self.finish_at_once = False
        self.vram_bytes = 0

    def add(self, repo: HubRepo, *items: HubItem) -> None:
        """Add a repository."""
        self.repos.append(repo)
        self.items[repo.id] = items

    def search(self, words: str, limit: int = 50) -> tuple[HubRepo, ...]:
        """Find repositories by all words."""
        self.searched.append(words)
        if self.trouble:
            raise self.trouble
        wanted = words.lower().split()
        return tuple(repo for repo in self.repos if all(word in repo.id.lower() for word in wanted))[:limit]

    def listing(self, repo: str) -> HubListing:
        """Tell what a repository has."""
        if self.trouble:
            raise self.trouble
        found = next((known for known in self.repos if known.id == repo), None)
        if found is None:
            raise KoboldError("No such repository", f"The hub has no {repo}.", "Check the name.")
        return HubListing(repo=found, revision="abc123", items=self.items[repo])

    def download(self, request: DownloadRequest) -> FakeDownload:
        """Begin a download that a test takes further."""
        begun = FakeDownload(request)
        self.begun.append(begun)
        if self.finish_at_once:
            begun.end.set()
        return begun

    def keep(self, request: DownloadRequest) -> None:
        """Note a beginning."""
        self.notes[request.item.name] = Unfinished(request=request, done_bytes=request.size_bytes // 2)

    def drop(self, request: DownloadRequest) -> None:
        """Forget it."""
        self.notes.pop(request.item.name, None)

    def discard(self, request: DownloadRequest) -> int:
        """Forget it and its bytes."""
        return self.notes.pop(request.item.name).done_bytes

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Tell what was begun."""
        return tuple(self.notes.values())

    def service(self, jobs: JobsService, models_dir: Path = Path("/models")) -> DownloadsService:
        """Return the service over this hub."""
        return DownloadsService(
            hub=self,
            download=self.download,
            notes=self,
            jobs=jobs,
            models_dir=models_dir,
            measure=self._measure,
        )

    async def _measure(self) -> Telemetry:
        host = HostSnapshot(memory_total_bytes=24 * GIB, memory_available_bytes=20 * GIB)
        return Telemetry(taken_at=0.0, host=host)


class FakeDownload:
    """Reports what the test says, and ends when the test says so."""

    def __init__(self, request: DownloadRequest) -> None:
        self.request = request
        self.report: Callable[[Progress], None] | None = None
        self.running = threading.Event()
        self.end = threading.Event()
        self.stopped = False
        self.ignores_stop = False
        self.failure: KoboldError | None = None

    def run(self, report: Callable[[Progress], None]) -> tuple[Path, ...]:
        """Wait for the test."""
        self.report = report
        self.running.set()
        self.end.wait()
        if self.failure:
            raise self.failure
        folder = Path(self.request.folder)
        return tuple(folder / file.name for file in self.request.item.files)

    def stop(self) -> None:
        """Be told to end."""
        self.stopped = True
        if not self.ignores_stop:
            self.end.set()
