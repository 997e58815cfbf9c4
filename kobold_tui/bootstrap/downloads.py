"""Puts together what fetches models: the hub, the files that grow, and what was begun before."""

from __future__ import annotations

from pathlib import Path

from kobold_tui.catalogue.download import Downloader
from kobold_tui.catalogue.download_notes import DownloadNotes
from kobold_tui.catalogue.hub import Hub
from kobold_tui.catalogue.hub_http import HubSession
from kobold_tui.services.downloads import DownloadsService
from kobold_tui.services.jobs import JobsService
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings
from kobold_tui.storage.toml_file import write_atomically


def downloads_service(
    paths: Paths, loaded: LoadedSettings, jobs: JobsService, telemetry: TelemetryService
) -> DownloadsService:
    """Return the service; models go to the first folder of the settings, else to the program's own."""
    session = HubSession()
    folders = loaded.settings.models_dirs
    return DownloadsService(
        hub=Hub(session),
        download=Downloader(session).download,
        notes=DownloadNotes(paths.data_dir / "downloads", write_atomically),
        jobs=jobs,
        models_dir=Path(folders[0]).expanduser().absolute() if folders else paths.models_dir,
        measure=telemetry.sample,
    )
