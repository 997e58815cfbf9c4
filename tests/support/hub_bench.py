"""A hub on loopback with one small model, everything that talks to it, and a folder to download into."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hub_server import HubServer

from kobold_tui.catalogue.download import Download, Downloader
from kobold_tui.catalogue.download_notes import DownloadNotes
from kobold_tui.catalogue.download_stop import DownloadStoppedError
from kobold_tui.catalogue.hub import Hub
from kobold_tui.catalogue.hub_http import HubSession
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.hub import DownloadRequest, Progress, choose
from kobold_tui.services.downloads import DownloadsService
from kobold_tui.services.jobs import JobsService
from kobold_tui.storage.toml_file import write_atomically

REPO = "someone/tiny-GGUF"
CONTENT = bytes(range(256)) * 1024
PAUSES = (0.0, 0.0)


class Bench:
    """One repository with one file, and the parts that fetch it."""

    def __init__(self, server: HubServer, folder: Path) -> None:
        self.server = server
        self.folder = folder / "models"
        self.session = HubSession(server.endpoint, timeout_seconds=10.0)
        self.hub = Hub(self.session)
        self.notes = DownloadNotes(folder / "notes", write_atomically)
        self.free_bytes = 10**12
        server.add(REPO, {"tiny-Q4_K_M.gguf": CONTENT, "README.md": b"# tiny"})

    @property
    def target(self) -> Path:
        """Where the file is in the end."""
        return self.folder / "tiny-Q4_K_M.gguf"

    @property
    def parts(self) -> list[Path]:
        """What is there of files that are not whole."""
        return sorted(self.folder.glob("*.part"))

    def request(self, wanted: str = "", repo: str = REPO) -> DownloadRequest:
        """Ask the hub what there is and choose from it."""
        listing = self.hub.listing(repo)
        item = choose(listing, wanted)
        return DownloadRequest(repo=repo, revision=listing.revision, item=item, folder=str(self.folder))

    def download(
        self, request: DownloadRequest | None = None, pauses: tuple[float, ...] = PAUSES
    ) -> Download:
        """Return a download, not yet run."""
        return self.downloader(pauses).download(request or self.request())

    def downloader(self, pauses: tuple[float, ...] = PAUSES, span_bytes: int = 10**9) -> Downloader:
        """Return what makes downloads."""
        return Downloader(
            self.session, pauses_seconds=pauses, span_bytes=span_bytes, free_bytes=lambda _: self.free_bytes
        )

    def service(self, jobs: JobsService, patience_seconds: float = 10.0) -> DownloadsService:
        """Return the service over all of it, on the running loop."""
        return DownloadsService(
            hub=Hub(HubSession(self.server.endpoint, patience_seconds)),
            download=self.downloader().download,
            notes=self.notes,
            jobs=jobs,
            models_dir=self.folder,
            measure=no_hardware,
        )

    def fetch(self, request: DownloadRequest | None = None) -> list[Progress]:
        """Download to the end and return what was reported."""
        told: list[Progress] = []
        self.download(request).run(told.append)
        return told

    def hold_answers(self) -> None:
        """Let the hub be silent from now on."""
        self.server.answering.clear()

    def let_answers_go(self) -> None:
        """Let the hub speak again."""
        self.server.answering.set()

    def stop_after(self, n_bytes: int) -> None:
        """Begin the download and stop it while the server holds back what follows `n_bytes`."""
        self.server.faults.stall_after = n_bytes
        download, arrived = self.download(), threading.Event()
        thread = threading.Thread(target=_run_quietly, args=(download, arrived), daemon=True)
        thread.start()
        assert self.server.stalling.wait(20)
        assert arrived.wait(20)
        download.stop()
        thread.join(20)
        assert not thread.is_alive()
        self.server.faults.stall_after = None


async def no_hardware() -> Telemetry:
    """Fail as hardware does that does not answer."""
    raise KoboldError("Not responding", "The driver is stuck.")


def _run_quietly(download: Download, arrived: threading.Event) -> None:
    with pytest.raises(DownloadStoppedError):
        download.run(lambda _: arrived.set())
