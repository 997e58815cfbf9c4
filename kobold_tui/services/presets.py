"""Presets for the front ends: listing, saving, comparing, and the exchange with KoboldCpp's files.

All work on files is done in a thread, so that a slow disk delays nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_exchange import ExportOutcome, ImportOutcome, PresetCheck
from kobold_tui.domain.preset_file import DeletedPreset, KeyDifference, PresetFile, PresetList, differences
from kobold_tui.domain.preset_report import ImportedPreset
from kobold_tui.services.launch import Launch
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.models import ModelsService
from kobold_tui.services.own_thread import OwnThread

T = TypeVar("T")

INTERVAL_SECONDS = 1.0


class Library(Protocol):
    """The files of presets; every call may block."""

    def list(self) -> PresetList:
        """Return all presets."""
        ...

    def read(self, reference: str) -> PresetFile:
        """Return the preset of a name or a file."""
        ...

    def find(self, name: str) -> PresetFile | None:
        """Return the preset of a name, None without any."""
        ...

    def stamp(self) -> object:
        """Return what changes with the files."""
        ...

    def save(self, preset: Preset, known: PresetFile | None = None, *, overwrite: bool = False) -> PresetFile:
        """Write a preset."""
        ...

    def save_copy(self, preset: Preset, name: str = "") -> PresetFile:
        """Write a preset under a free name."""
        ...

    def rename(self, name: str, new_name: str) -> PresetFile:
        """Give a preset another name."""
        ...

    def delete(self, name: str) -> DeletedPreset:
        """Move a preset away."""
        ...

    def undelete(self, deleted: DeletedPreset) -> PresetFile:
        """Take a deletion back."""
        ...


class Exchange(Protocol):
    """KoboldCpp's files; every call may block."""

    def preview(self, path: Path, name: str = "") -> ImportedPreset:
        """Return what a file means."""
        ...

    def import_file(self, path: Path, name: str = "", *, overwrite: bool = False) -> ImportOutcome:
        """Save what a file means."""
        ...

    def export(self, preset: Preset, to: Path, *, overwrite: bool = False) -> ExportOutcome:
        """Write a preset as such a file."""
        ...


class PresetsService(LoopBound):
    """All presets; every method raises KoboldError where its files are wrong or cannot be written."""

    def __init__(
        self,
        library: Library,
        exchange: Exchange,
        models: ModelsService,
        thread: OwnThread,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        super().__init__()
        self._library = library
        self._exchange = exchange
        self._models = models
        self._thread = thread
        self._interval = interval_seconds
        self._watchers: set[asyncio.Event] = set()

    async def list_presets(self) -> PresetList:
        """Return all presets sorted by name, and what is wrong with the files that are none."""
        self.check_loop()
        return await self._thread.call(self._library.list)

    async def watch(self) -> AsyncGenerator[PresetList, None]:
        """Yield all presets as they are now, and again after every change of their files."""
        self.check_loop()
        asked = asyncio.Event()
        self._watchers.add(asked)
        known: object = None
        try:
            while True:
                asked.clear()
                stamp = await self._thread.call(self._library.stamp)
                if known is None or stamp != known:
                    known = stamp
                    yield await self._thread.call(self._library.list)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asked.wait(), self._interval)
        finally:
            self._watchers.discard(asked)

    async def read(self, reference: str) -> PresetFile:
        """Return the preset of a name, or of a `.toml`, `.kcpps` or `.kcppt` file."""
        self.check_loop()
        return await self._thread.call(self._library.read, reference)

    async def save(
        self, preset: Preset, known: PresetFile | None = None, *, overwrite: bool = False
    ) -> PresetFile:
        """Write a preset; `known` is the file it was read from, where it takes that one's place.

        Raises PresetConflict where that would lose comments, later changes or another preset.
        """
        return await self._change(partial(self._library.save, preset, known, overwrite=overwrite))

    async def save_copy(self, preset: Preset, name: str = "") -> PresetFile:
        """Write a preset under `name`, or where that is taken or empty under a free one."""
        return await self._change(partial(self._library.save_copy, preset, name))

    async def duplicate(self, name: str, new_name: str = "") -> PresetFile:
        """Copy a preset; what it extends, the copy extends too."""
        stored = await self.read(name)
        return await self.save_copy(stored.preset, new_name)

    async def rename(self, name: str, new_name: str) -> PresetFile:
        """Give a preset another name; its comments stay."""
        return await self._change(partial(self._library.rename, name, new_name))

    async def delete(self, name: str) -> DeletedPreset:
        """Delete a preset; `undelete` takes what this returns."""
        return await self._change(partial(self._library.delete, name))

    async def undelete(self, deleted: DeletedPreset) -> PresetFile:
        """Take a deletion back, byte by byte."""
        return await self._change(partial(self._library.undelete, deleted))

    async def differs(self, preset: Preset) -> tuple[KeyDifference, ...]:
        """Return in what a preset (right) differs from its file (left); empty where it does not.

        Of a preset that has no file everything that is no default differs.
        """
        self.check_loop()
        stored = await self._thread.call(self._library.find, preset.name)
        return differences(stored.preset if stored else Preset(name=preset.name), preset)

    async def compare(self, left: str, right: str) -> tuple[KeyDifference, ...]:
        """Return the keys in which two presets differ beside their names, with both values."""
        one, other = await self.read(left), await self.read(right)
        rows = differences(one.preset, other.preset)
        return tuple(row for row in rows if row.key not in {"name", "description", "extends"})

    async def validate(self, references: Sequence[str] = ()) -> tuple[PresetCheck, ...]:
        """Check these files or presets, all of them where none is named; sound ones have no failure."""
        self.check_loop()
        if references:
            return tuple([await self._check(reference) for reference in references])
        found = await self.list_presets()
        sound = [PresetCheck(path=stored.path, name=stored.preset.name) for stored in found.presets]
        return (*sound, *(PresetCheck(failure=failure) for failure in found.failed))

    async def preview_import(self, path: Path, name: str = "") -> ImportedPreset:
        """Return what a file of KoboldCpp means, and write nothing."""
        self.check_loop()
        return await self._thread.call(self._exchange.preview, path, name)

    async def import_file(self, path: Path, name: str = "", *, overwrite: bool = False) -> ImportOutcome:
        """Save what a file of KoboldCpp means among the user's presets.

        Raises PresetConflict where a preset of that name exists.
        """
        return await self._change(partial(self._exchange.import_file, path, name, overwrite=overwrite))

    async def export(self, reference: str, to: Path, *, overwrite: bool = False) -> ExportOutcome:
        """Write a preset as a file of KoboldCpp, with the path of its model where that is found."""
        preset = (await self.read(reference)).preset
        if preset.model:
            with contextlib.suppress(KoboldError):
                model = await self._models.resolve(preset.model)
                preset = msgspec.structs.replace(preset, model=model.path)
        return await self._thread.call(partial(self._exchange.export, preset, to, overwrite=overwrite))

    async def _check(self, reference: str) -> PresetCheck:
        try:
            stored = await self.read(reference)
        except KoboldError as error:
            return PresetCheck(path=Path(reference), failure=error.failure)
        return PresetCheck(path=stored.path, name=stored.preset.name)

    async def _change(self, work: Callable[[], T]) -> T:
        """Do some work on the files, then let those who watch look at once."""
        self.check_loop()
        try:
            return await self._thread.call(work)
        finally:
            for asked in self._watchers:
                asked.set()


def preset_from(launch: Launch, name: str) -> Preset:
    """Return a preset of its own that says how `launch` was loaded."""
    model = "" if launch.preset.endpoint else launch.model.path
    return msgspec.structs.replace(launch.preset, name=name, description="", extends="", model=model)
