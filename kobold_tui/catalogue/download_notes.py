"""Which downloads were begun and not ended: a small file each, so that a restart can offer to go on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from kobold_tui.catalogue.download import check_complete
from kobold_tui.catalogue.download_part import done_bytes, part_path
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.hub import DownloadRequest, Unfinished

MOST_NOTES = 200
MOST_BYTES = 1024 * 1024

_decoder = msgspec.json.Decoder(DownloadRequest)


class DownloadNotes:
    """Notes in a folder of the program's; `write` replaces a file at once."""

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None]) -> None:
        self._folder = folder
        self._write = write

    def keep(self, request: DownloadRequest) -> None:
        """Note that a download has begun. Raises KoboldError."""
        self._write(self._place(request), msgspec.json.encode(request))

    def drop(self, request: DownloadRequest) -> None:
        """Forget a download that has ended; what is on the disk stays."""
        with contextlib.suppress(OSError):
            self._place(request).unlink()

    def discard(self, request: DownloadRequest) -> int:
        """Forget a download and delete its unfinished parts; returns the bytes that this freed."""
        freed = 0
        for file in request.item.files:
            part = part_path(Path(request.folder), file)
            with contextlib.suppress(OSError):
                size = part.stat().st_size
                part.unlink()
                freed += size
        self.drop(request)
        return freed

    def unfinished(self) -> tuple[Unfinished, ...]:
        """Return what can be gone on with; notes that cannot be read are left out."""
        found = (
            Unfinished(
                request=request,
                done_bytes=sum(done_bytes(Path(request.folder), file) for file in request.item.files),
            )
            for request in self._requests()
        )
        return tuple(sorted(found, key=lambda item: (item.request.repo, item.request.item.name)))

    def _requests(self) -> Iterator[DownloadRequest]:
        try:
            places = sorted(self._folder.glob("*.json"))[:MOST_NOTES]
        except OSError:
            return
        for place in places:
            with contextlib.suppress(OSError, ValueError, msgspec.DecodeError, KoboldError):
                if place.stat().st_size <= MOST_BYTES:
                    request = _decoder.decode(place.read_bytes())
                    check_complete(request)
                    yield request

    def _place(self, request: DownloadRequest) -> Path:
        identity = "\0".join((request.repo, request.item.files[0].path, request.folder))
        name = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return self._folder / f"{name}.json"
