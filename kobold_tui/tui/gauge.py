"""What the panes of the gauge have in common: it is read slowly over a slow line, and rarely while hidden."""

from __future__ import annotations

import time

from textual import events

from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.services.registry import Services
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.pane import Pane

INTERVALS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between two readings that can be chosen."""


def next_interval(seconds: float, step: int) -> float:
    """Return the next longer (`step` 1) or shorter (-1) interval; at the ends it stays."""
    if step > 0:
        return next((each for each in INTERVALS if each > seconds), INTERVALS[-1])
    return next((each for each in reversed(INTERVALS) if each < seconds), INTERVALS[0])


def host_age_seconds(reading: Reading) -> float | None:
    """Return since when the machine itself has not answered; None where it does."""
    return None if reading.stale_since is None else time.monotonic() - reading.stale_since


def needs(estimate: MemoryEstimate | None) -> list[tuple[str, int]]:
    """Return what a model would take, by device; that is all of a prediction that the gauge shows."""
    return [(device.name, device.total_bytes) for device in estimate.devices] if estimate else []


class GaugePane(Pane):
    """A pane that shows readings of the hardware; the service is told whether any such pane is in view."""

    is_repeated = False
    """Whether another pane of the gauge in view shows the same figures."""

    def on_show(self, event: events.Show) -> None:  # noqa: ARG002
        """Have the hardware read at full pace."""
        self.call_after_refresh(self._tell_seen)

    def on_hide(self, event: events.Hide) -> None:  # noqa: ARG002
        """Have the hardware read rarely, unless another pane of the gauge is in view."""
        self.call_after_refresh(self._tell_seen)

    def set_repeated(self, repeated: bool) -> None:
        """Take note of whether another pane in view shows the same figures."""
        self.is_repeated = repeated

    def _tell_seen(self) -> None:
        if not self.is_attached:
            return
        panes = list(self.screen.query(GaugePane))
        in_view = [pane for pane in panes if pane.is_on_screen]
        hidden = not in_view
        for pane in panes:
            pane.set_repeated(bool(set(in_view) - {pane}))

        async def tell(services: Services) -> None:
            await services.telemetry.set_hidden(hidden)

        self.run_worker(self.context.backend.call(tell), group="gauge-pace", exit_on_error=False)
