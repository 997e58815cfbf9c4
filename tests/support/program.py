"""The whole program as a user starts it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


class Program:
    """Runs `kobold-tui` with settings, data and caches below `home`."""

    def __init__(self, home: Path) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KOBOLD_TUI_HOME": str(home),
            "HF_HOME": str(home / "no-cache"),
        }
        self._environment.pop("KOBOLD_TUI_DEBUG", None)

    def __call__(
        self, *argv: str, piped: str = "", timeout_seconds: float = PATIENCE_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end with `piped` on standard input; raises TimeoutExpired for a hang."""
        return subprocess.run(
            [sys.executable, "-m", "kobold_tui", *argv],
            input=piped,
            capture_output=True,
            text=True,
            env=self._environment,
            check=False,
            timeout=timeout_seconds,
        )
