"""The gauge's service over made-up cards, which have a past before the program began."""

from __future__ import annotations

from kobold_tui.domain.gpu import GpuPoint, HostPoint
from kobold_tui.hardware.synthetic import SyntheticMachine
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.telemetry import GpuSource, TelemetryService


class DemoTelemetry(TelemetryService):
    """Adds the past of the cards to what is noted from now on."""

    def __init__(self, machine: SyntheticMachine, interval_seconds: float) -> None:
        gpus = GpuSource(machine.read_gpus, OwnThread("demo cards"))
        super().__init__(machine.read_host, OwnThread("demo host"), interval_seconds, gpus)
        self._machine = machine

    async def history(self, key: str) -> tuple[GpuPoint, ...]:
        """Return the last minutes of a card, the oldest first."""
        return (*self._machine.past(key), *await super().history(key))

    async def host_history(self) -> tuple[HostPoint, ...]:
        """Return the last minutes of the machine, the oldest first."""
        return (*self._machine.host_past(), *await super().host_history())
