"""What people do with model files: delete them, and look at the folder that they lie in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.removal import Removal
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread

TIMEOUT_SECONDS = 5.0
_REMOTE = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_DISPLAYS = ("WAYLAND_DISPLAY", "DISPLAY")

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


class FolderWindow:
    """Shows a folder in the file manager of this very terminal's desktop, if there is one."""

    def __init__(self, environ: Mapping[str, str], run: Run = subprocess.run) -> None:
        self._environ = environ
        self._run = run

    def show(self, folder: str) -> bool:
        """Show a folder; False where there is no desktop, as over SSH. It may block for seconds."""
        program = self._program()
        if program is None:
            return False
        try:
            done = self._run(
                [program, folder],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_SECONDS,
                env=dict(self._environ),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return True
        except OSError:
            return False
        return done.returncode == 0

    def _program(self) -> str | None:
        if any(self._environ.get(name) for name in _REMOTE):
            return None
        path = self._environ.get("PATH", "")
        if sys.platform == "darwin":
            return shutil.which("open", path=path)
        has_desktop = any(self._environ.get(name) for name in _DISPLAYS)
        return shutil.which("xdg-open", path=path) if has_desktop else None


class ModelFilesService(LoopBound):
    """Deletes in two steps, so that what goes is told first; `in_use` names the paths of loaded models."""

    def __init__(
        self,
        plan: Callable[[ModelEntry], Removal],
        carry_out: Callable[[Removal], int],
        in_use: Callable[[], Iterable[str]],
        window: FolderWindow,
        thread: OwnThread,
    ) -> None:
        super().__init__()
        self._plan = plan
        self._carry_out = carry_out
        self._in_use = in_use
        self._window = window
        self._thread = thread

    async def plan_removal(self, model: ModelEntry) -> Removal:
        """Return what deleting a model would do. Raises KoboldError where it must not be deleted."""
        self.check_loop()
        self._check_unused((model.path,))
        return await self._thread.call(self._plan, model)

    async def remove(self, removal: Removal) -> int:
        """Delete the files and return the bytes freed. Raises KoboldError that names the file."""
        self.check_loop()
        self._check_unused(file.path for file in removal.files)
        return await self._thread.call(self._carry_out, removal)

    async def show_folder(self, path: str) -> bool:
        """Show the folder of a file on the desktop; False where there is no desktop."""
        self.check_loop()
        return await self._thread.call(self._window.show, str(Path(path).parent))

    def _check_unused(self, paths: Iterable[str]) -> None:
        used = set(self._in_use())
        for path in paths:
            if path in used:
                raise KoboldError("Not deleted", f"{path} is loaded.", "Unload it first, with u.")
