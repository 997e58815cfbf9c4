"""What is done with a preset that takes more than one step: questions, conflicts, the form and the editor.

Every method may wait for a person, so it runs in a worker. Raises KoboldError where something cannot be done.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from textual.app import App

from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_exchange import ExportOutcome, ImportOutcome
from kobold_tui.domain.preset_file import PresetConflict, PresetFile
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.launch import Launch
from kobold_tui.services.presets import preset_from
from kobold_tui.services.registry import Services
from kobold_tui.tui.preset_editor import edit_file
from kobold_tui.tui.screens.preset_question import ChoiceScreen, LineScreen

_CONFLICT = (("copy", "Save a copy"), ("overwrite", "Overwrite"))


class PresetWork:
    """The steps, over the app's windows and the backend's services."""

    def __init__(self, app: App[int], backend: BackendThread[Services]) -> None:
        self._app = app
        self._backend = backend

    async def create(self, launch: Launch | None) -> PresetFile | None:
        """Save what is loaded now, or an empty preset, under a name that is asked for."""
        note = (
            f"As {launch.model.name} is loaded now."
            if launch is not None
            else "Nothing is loaded: it begins with the defaults, for any model."
        )
        if (name := await self._ask("New preset", note)) is None:
            return None
        return await self.save(preset_from(launch, name) if launch is not None else Preset(name=name))

    async def duplicate(self, stored: PresetFile) -> PresetFile | None:
        """Copy a preset under a name that is asked for."""
        name = await self._ask("Duplicate", f"A copy of {stored.preset.name}, called:", stored.preset.name)
        if name is None:
            return None
        return await self._backend.call(lambda services: services.presets.duplicate(stored.preset.name, name))

    async def rename(self, stored: PresetFile) -> PresetFile | None:
        """Give a preset another name, which is asked for."""
        old = stored.preset.name
        name = await self._ask("Rename", f"{old} is to be called:", old)
        if name is None or name == old:
            return None
        return await self._backend.call(lambda services: services.presets.rename(old, name))

    async def edit(self, stored: PresetFile) -> PresetFile | None:
        """Change a preset in the form, again and again until it is saved or left."""
        from kobold_tui.tui.screens.preset_form import PresetFormScreen

        draft, note = stored.preset, ""
        if not stored.writable:
            note = "Saving makes a preset of your own, which takes the place of this one."
        while (changed := await self._app.push_screen_wait(PresetFormScreen(draft, note))) is not None:
            try:
                return await self.save(changed, stored)
            except KoboldError as error:
                draft, note = changed, str(error)
        return None

    async def edit_text(self, path: Path) -> None:
        """Open a file in the person's editor, again until it is sound or left as it is."""
        while True:
            edit_file(self._app, path)
            try:
                await self._backend.call(lambda services: services.presets.read(str(path)))
            except KoboldError as error:
                ways = (("again", "Edit again"), ("leave", "Leave it so"))
                if await self._choose(error.title, f"{error.message}\n{error.hint}", ways) != "again":
                    return
            else:
                return

    async def copy_and_edit(self, preset: Preset) -> PresetFile:
        """Make a copy of one that is not to be written, and open that in the editor."""
        copied = await self._backend.call(lambda services: services.presets.save_copy(preset), finish=True)
        await self.edit_text(copied.path)
        return copied

    async def save(self, preset: Preset, known: PresetFile | None = None) -> PresetFile | None:
        """Write a preset; where that would lose something, ask first. None where it was left."""
        try:
            return await self._backend.call(
                lambda services: services.presets.save(preset, known), finish=True
            )
        except PresetConflict as conflict:
            way = await self._choose(conflict.title, conflict.message, _CONFLICT)
        if way == "overwrite":
            return await self._backend.call(
                lambda services: services.presets.save(preset, known, overwrite=True), finish=True
            )
        if way == "copy":
            return await self._backend.call(lambda services: services.presets.save_copy(preset), finish=True)
        return None

    async def compare(self, left: str, right: str) -> None:
        """Show two presets side by side."""
        from kobold_tui.tui.screens.preset_compare import PresetCompareScreen

        rows = await self._backend.call(lambda services: services.presets.compare(left, right))
        await self._app.push_screen_wait(PresetCompareScreen(left, right, rows))

    async def take_in(self) -> ImportOutcome | None:
        """Ask for a file of KoboldCpp, show what it means, and save it when that is wanted."""
        from kobold_tui.tui.screens.preset_import import PresetReportScreen

        note = "Path of a .kcpps or .kcppt file; ~ is the home directory."
        entered = await self._app.push_screen_wait(
            LineScreen("Import from KoboldCpp", note, verb="shows what it means")
        )
        if entered is None:
            return None
        path = Path(entered)
        found = await self._backend.call(lambda services: services.presets.preview_import(path))
        report = PresetReportScreen(
            f"Import · {found.preset.name}", found.report, found.downloads, verb="saves"
        )
        if not await self._app.push_screen_wait(report):
            return None
        return await self._import(path)

    async def give_out(self, stored: PresetFile) -> ExportOutcome | None:
        """Write a preset as a file of KoboldCpp, and show what could not be said there."""
        from kobold_tui.tui.screens.preset_import import PresetReportScreen

        name = stored.preset.name
        begin = f"~/{stored.path.stem}.kcpps"
        entered = await self._ask("Export to KoboldCpp", f"{name} goes into the file:", begin)
        if entered is None:
            return None
        path = _below_home(entered)
        try:
            done = await self._backend.call(lambda services: services.presets.export(name, path))
        except UsageError as error:
            ways = (("overwrite", "Overwrite"),)
            if await self._choose(error.title, error.message, ways) != "overwrite":
                return None
            done = await self._backend.call(
                lambda services: services.presets.export(name, path, overwrite=True)
            )
        await self._app.push_screen_wait(PresetReportScreen(f"Exported · {path}", done.exported.report))
        return done

    async def _import(self, path: Path, name: str = "", *, overwrite: bool = False) -> ImportOutcome | None:
        try:
            return await self._backend.call(
                lambda services: services.presets.import_file(path, name, overwrite=overwrite), finish=True
            )
        except PresetConflict as conflict:
            ways = (("copy", "Another name"), ("overwrite", "Overwrite"))
            way = await self._choose(conflict.title, conflict.message, ways)
        if way == "overwrite":
            return await self._import(path, name, overwrite=True)
        asked = await self._ask("Import", "Save it as:") if way == "copy" else None
        return await self._import(path, asked) if asked is not None else None

    async def _ask(self, title: str, note: str, text: str = "") -> str | None:
        return await self._app.push_screen_wait(LineScreen(title, note, text, check=_name_fault))

    async def _choose(self, title: str, text: str, ways: tuple[tuple[str, str], ...]) -> str | None:
        return await self._app.push_screen_wait(ChoiceScreen(title, text, ways))


def _name_fault(name: str) -> str:
    """Return what is wrong with a name, by the same declaration that a file is read with."""
    try:
        msgspec.convert({"name": name}, Preset)
    except msgspec.ValidationError:
        return "A name has at most 200 characters."
    return ""


def _below_home(entered: str) -> Path:
    """Return the path that was entered, with `~` as the home directory."""
    return Path(entered).expanduser()
