"""A file in the person's own editor: the interface steps aside, and comes back when the editor ends."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from textual.app import App, SuspendNotSupported

from kobold_tui.domain.errors import KoboldError

_EDITORS = ("VISUAL", "EDITOR")


def editor_command() -> list[str]:
    """Return the command that VISUAL or EDITOR names, else vi."""
    named = next((os.environ[name] for name in _EDITORS if os.environ.get(name, "").strip()), "vi")
    try:
        return shlex.split(named)
    except ValueError:
        return [named]


def edit_file(app: App[int], path: Path) -> None:
    """Give the terminal to the editor until it ends. Raises KoboldError where that cannot be."""
    command = editor_command()
    try:
        with app.suspend():
            ended = subprocess.run([*command, str(path)], check=False)
    except SuspendNotSupported:
        raise KoboldError(
            "No editor here", "This terminal cannot be given to an editor.", f"Edit {path} outside."
        ) from None
    except OSError as error:
        raise KoboldError(
            "No editor", f"{command[0]} cannot be run: {error.strerror}.", "Set EDITOR to an editor's name."
        ) from None
    if ended.returncode:
        raise KoboldError(
            "The editor failed",
            f"{command[0]} ended with status {ended.returncode}.",
            f"Look at {path}: it may or may not have been saved.",
        )
