"""What has been installed into `.venv`, kept inside it, so that a second start finds nothing to do.

A step is marked as running before it starts and as done, with its key, after it ended well: whatever
interrupts it, the next run sees what to repair.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any


class State:
    """The file `.venv/kobold-tui-setup.json`; a missing or broken file counts as empty."""

    def __init__(self, venv: Path) -> None:
        self.path = venv / "kobold-tui-setup.json"
        self._data: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            loaded = json.loads(self.path.read_text("utf-8"))
            self._data = loaded if isinstance(loaded, dict) else {}

    @property
    def exists(self) -> bool:
        """Whether the set-up has ever written here."""
        return bool(self._data)

    def is_done(self, step: str, key: str) -> bool:
        """Whether `step` ended well with the same key, and did not start again since."""
        return bool(self._done().get(step) == key and self._data.get("running") != step)

    def was_interrupted(self, step: str) -> bool:
        """Whether `step` started and did not end."""
        return bool(self._data.get("running") == step)

    def start(self, step: str) -> None:
        """Note that `step` runs."""
        self._data["running"] = step
        self._write()

    def finish(self, step: str, key: str) -> None:
        """Note that `step` ended well."""
        self._data.setdefault("done", {})[step] = key
        self._data["running"] = None
        self._write()

    def note(self, name: str, value: str) -> None:
        """Keep a fact about the machine or the build."""
        if self._data.get(name) != value:
            self._data[name] = value
            self._write()

    def noted(self, name: str) -> str:
        """Return a kept fact, "" when there is none."""
        return str(self._data.get(name, ""))

    def _done(self) -> dict[str, str]:
        done = self._data.get("done")
        return done if isinstance(done, dict) else {}

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._data, indent=1), "utf-8")
        temporary.replace(self.path)
