"""What every pane is built with: the way to the services and the facts about this terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.options import StartOptions
from kobold_tui.services.registry import Services


@dataclass(frozen=True, kw_only=True)
class Link:
    """How much the line between program and terminal can carry; slow means SSH or by choice."""

    slow: bool

    @property
    def frames_per_second(self) -> int:
        """Frames while an answer streams."""
        return 8 if self.slow else 15

    @property
    def gauge_seconds(self) -> float:
        """Seconds between two readings of the gauge."""
        return 2.0 if self.slow else 1.0


def link_from(environment: Mapping[str, str], choice: str = "auto") -> Link:
    """Return the link that `choice` ("auto", "fast", "slow") means in this environment."""
    over_ssh = bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))
    return Link(slow=choice == "slow" or (choice == "auto" and over_ssh))


@dataclass(frozen=True, kw_only=True)
class PaneContext:
    """Services by constructor: panes reach the backend through this and nothing else."""

    backend: BackendThread[Services]
    link: Link
    options: StartOptions
    gauge_seconds: float = 1.0
