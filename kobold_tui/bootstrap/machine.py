"""Puts together what watches the hardware, and what our own processes on it are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kobold_tui.hardware.nvml import NvmlProbe
from kobold_tui.hardware.probe import MachineProbe
from kobold_tui.services.machine import MachineService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.telemetry import GpuSource, TelemetryService
from kobold_tui.storage.settings import LoadedSettings

if TYPE_CHECKING:
    from kobold_tui.domain.instance import Instance
    from kobold_tui.hardware.cuda_build import BuildPlan


class Workers:
    """The processes of our instances, noted on the backend's loop and read by the hardware's thread."""

    def __init__(self) -> None:
        self._pids: Mapping[str, int] = {}

    def note(self, instances: tuple[Instance, ...]) -> None:
        """Replace what is known, in one step."""
        self._pids = {instance.id: instance.pid for instance in instances if instance.pid is not None}

    def pids(self) -> Mapping[str, int]:
        """Return process ids by instance."""
        return self._pids


def machine_services(
    loaded: LoadedSettings, workers: Workers, hardware: OwnThread
) -> tuple[TelemetryService, MachineService]:
    """Return the gauge's service and the one that knows what is wrong.

    `hardware` is the thread that reads the cards; neither the host nor questions about the build wait for it.
    """
    probe = MachineProbe(workers.pids)
    gpus = GpuSource(probe.read_gpus, hardware)
    return (
        TelemetryService(probe.read_host, OwnThread("host"), loaded.settings.gauge_seconds, gpus),
        MachineService(_gpu_present, _plan_build, OwnThread("build")),
    )


def _gpu_present() -> bool:
    probe = NvmlProbe()
    try:
        return probe.gpu_present()
    finally:
        probe.close()


def _plan_build() -> BuildPlan:
    from kobold_tui.hardware.cuda_build import choose_build, probe_machine

    return choose_build(probe_machine())
