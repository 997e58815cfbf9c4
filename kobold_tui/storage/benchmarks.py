"""Measured speeds as files: one JSON file a model, in a folder that never grows beyond its bounds.

A file that cannot be read is put aside when the next figure is kept, so that it costs old figures alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from kobold_tui.domain.benchmark import Measurement, ModelIdentity
from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.toml_file import read_content, write_atomically

MOST_BYTES = 1024 * 1024
MOST_MEASUREMENTS = 200
MOST_FILES = 200


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds; the oldest measurement stands first."""

    model: ModelIdentity
    measurements: tuple[Measurement, ...] = ()


class BenchmarkFiles:
    """Measurements by model; every call may block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, model: ModelIdentity) -> tuple[Measurement, ...]:
        """Return what was measured of a model, the oldest first. Raises KoboldError for a broken file."""
        path = self._file(model)
        if not path.exists():
            return ()
        try:
            content = msgspec.json.decode(read_content(path, MOST_BYTES), type=_Content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise KoboldError(
                "Not measurements",
                f"{path}: {error}.",
                "Run the benchmark again: it puts the file aside and begins a new one.",
            ) from None
        return content.measurements if content.model == model else ()

    def add(self, model: ModelIdentity, measurement: Measurement) -> None:
        """Keep a measurement in place of an older one of the same placement. Raises KoboldError."""
        path = self._file(model)
        try:
            known = self.load(model)
        except KoboldError:
            with contextlib.suppress(OSError):
                path.replace(path.with_suffix(".broken"))
            known = ()
        others = [each for each in known if _place(each) != _place(measurement)]
        kept = (*others, measurement)[-MOST_MEASUREMENTS:]
        write_atomically(path, _encoded(model, kept))
        self._forget_oldest(path)

    def _file(self, model: ModelIdentity) -> Path:
        mark = hashlib.sha256(msgspec.json.encode(model)).hexdigest()[:16]
        slug = re.sub(r"[^\w.-]+", "-", model.name, flags=re.ASCII).strip("-.")[:80] or "model"
        return self._folder / f"{slug}-{mark}.json"

    def _forget_oldest(self, newest: Path) -> None:
        """Delete the files that were not written for longest, where there are too many."""
        with contextlib.suppress(OSError):
            files = [path for path in self._folder.iterdir() if path.suffix in {".json", ".broken"}]
            if len(files) > MOST_FILES:
                by_age = sorted(set(files) - {newest}, key=_written_at)
                _delete(by_age[: len(files) - MOST_FILES])


def _encoded(model: ModelIdentity, measurements: tuple[Measurement, ...]) -> bytes:
    """Return a file's content, of as many of the newest measurements as a reader accepts."""
    data = msgspec.json.encode(_Content(model=model, measurements=measurements))
    while len(data) > MOST_BYTES and len(measurements) > 1:
        measurements = measurements[len(measurements) // 2 :]
        data = msgspec.json.encode(_Content(model=model, measurements=measurements))
    return data


def _place(measurement: Measurement) -> tuple[object, ...]:
    run = measurement.run
    return measurement.machine, run.options, run.n_prompt, run.n_gen


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
