"""Downloads an item of the hub into a folder: resumed where it was left, checked, and named when whole.

A connection that breaks after it has worked is tried again, from where it broke, as long as that leads any
further; an error at the very start is told at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.catalogue.download_meter import Meter
from kobold_tui.catalogue.download_part import PartFile, disk_error, done_bytes, hash_of, in_the_way
from kobold_tui.catalogue.download_stop import Stop
from kobold_tui.catalogue.hub_errors import HubError, broken, senseless
from kobold_tui.catalogue.hub_http import HubSession
from kobold_tui.catalogue.hub_items import is_safe_name
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.hub import DownloadRequest, HubFile, Progress
from kobold_tui.domain.units import GIB, format_bytes, format_seconds

if TYPE_CHECKING:
    import httpx2

SPAN_BYTES = 16 * GIB
"""Most bytes of one answer: the hub's servers refuse to send more than 50 GB in one."""

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class Downloader:
    """Makes downloads from one hub; `pauses_seconds` lie between tries of a connection that broke."""

    def __init__(
        self,
        session: HubSession,
        *,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        span_bytes: int = SPAN_BYTES,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._session = session
        self._pauses = tuple(pauses_seconds)
        self._span = span_bytes
        self._free_bytes = free_bytes

    def download(self, request: DownloadRequest) -> Download:
        """Return the download of an item, ready to run."""
        return Download(self._session, request, self._pauses, self._span, self._free_bytes)


class Download:
    """One run over the files of an item; `run` is called once, in a thread of its own."""

    def __init__(
        self,
        session: HubSession,
        request: DownloadRequest,
        pauses: tuple[float, ...],
        span: int,
        free_bytes: Callable[[Path], int],
    ) -> None:
        self._session = session
        self._request = request
        self._pauses = pauses
        self._span = span
        self._free_bytes = free_bytes
        self._stop = Stop()
        self._has_worked = False

    def stop(self) -> None:
        """End the run from another thread; what has arrived is kept."""
        self._stop.set()

    def run(self, report: Callable[[Progress], None]) -> tuple[Path, ...]:
        """Return the files of the item, all of them whole. Raises KoboldError and DownloadStoppedError."""
        check_complete(self._request)
        self._check_space(Path(self._request.folder).expanduser())
        folder = made_folder(self._request.folder)
        self._meter = Meter(self._request.size_bytes, report)
        return tuple(self._fetch(file, folder) for file in self._request.item.files)

    def _check_space(self, folder: Path) -> None:
        item = self._request.item
        needed = sum(file.size_bytes - done_bytes(folder, file) for file in item.files)
        with contextlib.suppress(OSError):  # some network file systems do not tell
            free = self._free_bytes(next(place for place in (folder, *folder.parents) if place.exists()))
            if needed > free:
                raise KoboldError(
                    "Not enough disk space",
                    f"{item.name} needs {format_bytes(needed)} more, "
                    f"but {folder} has {format_bytes(free)} free.",
                    "Free some space, or choose another folder.",
                )

    def _fetch(self, file: HubFile, folder: Path) -> Path:
        """Return the whole file, downloaded or found."""
        target = folder / file.name
        if os.path.lexists(target):
            self._check_same(target, file)
        else:
            with PartFile(folder, file) as part:
                part.take_up(self._checked)
                self._fill(part)
                part.finish(self._request.repo)
        self._meter.next_file(file.size_bytes)
        return target

    def _check_same(self, target: Path, file: HubFile) -> None:
        """Take a file that is there already for ours only where it is."""
        try:
            same = target.stat().st_size == file.size_bytes
        except OSError:
            same = False
        if not same or (file.sha256 and hash_of(target, self._checked) != file.sha256):
            raise in_the_way(target)

    def _checked(self, done: int) -> None:
        self._stop.check()
        self._meter.checking(done)

    def _fill(self, part: PartFile) -> None:
        """Download what is missing; pauses grow until there is more than there ever was."""
        tries, most = 0, part.size_bytes
        while part.size_bytes < part.file.size_bytes:
            self._stop.check()
            try:
                self._take_span(part)
            except HubError as error:
                self._stop.check()
                if part.size_bytes > most:
                    tries = 0
                if not (error.is_passing and self._has_worked and tries < len(self._pauses)):
                    raise
                self._pause(part, tries)
                tries += 1
            most = max(most, part.size_bytes)

    def _pause(self, part: PartFile, tries: int) -> None:
        seconds = self._pauses[tries]
        words = f"the connection broke; trying again in {format_seconds(seconds)}"
        self._meter.waiting(part.size_bytes, words)
        self._stop.wait(seconds)

    def _take_span(self, part: PartFile) -> None:
        file, start = part.file, part.size_bytes
        end = min(file.size_bytes, start + self._span)
        asked = self._session.asked(self._request.repo, file.path)
        span = f"bytes={start}-{end - 1}"
        with (
            self._session.open_file(asked.repo, self._request.revision, file.path, span) as response,
            self._stop.wakes(response),
        ):
            if not self._fits(response, part):
                raise senseless(asked, "it is not the part of the file that was asked for")
            for piece in response.iter_raw():
                self._stop.check()
                self._has_worked = True
                if part.size_bytes + len(piece) > file.size_bytes:
                    raise senseless(asked, "it is longer than the file")
                part.append(piece)
                self._meter.arrived(part.size_bytes)
        if part.size_bytes < end:
            raise broken(asked)

    def _fits(self, response: httpx2.Response, part: PartFile) -> bool:
        """Whether the answer continues the file; one that begins anew, as some servers do, is accepted."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return False
        size = part.file.size_bytes
        if response.status_code == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            return found is not None and int(found[1]) == part.size_bytes and found[3] in ("*", str(size))
        if response.headers.get("Content-Length", str(size)) != str(size):
            return False
        if part.size_bytes:
            part.restart()
        return True


def check_complete(request: DownloadRequest) -> None:
    """Raise KoboldError for an item that lacks parts or whose names cannot become files."""
    item = request.item
    if item.missing:
        raise KoboldError(
            "Incomplete model",
            f"{request.repo} lacks {', '.join(item.missing[:3])} of {item.name}.",
            "Choose another quantization, or another repository.",
        )
    if not item.files:
        raise KoboldError("Nothing to download", f"{item.name} of {request.repo} has no files.")
    for file in item.files:
        if not is_safe_name(file.name):
            raise KoboldError("Not a file name", f"{request.repo} has a file {file.name!r}.")


def made_folder(place: str) -> Path:
    """Return the folder, made if need be. Raises KoboldError."""
    folder = Path(place).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from None
    return folder.resolve()
