"""The hardware of this machine in two readings: the cards, whose driver can hang, and the host."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from kobold_tui.domain.gpu import GpuReading, GpuSnapshot, Telemetry
from kobold_tui.hardware.amd import AmdProbe
from kobold_tui.hardware.amd_names import market_names
from kobold_tui.hardware.host import HostProbe
from kobold_tui.hardware.nvml import NvmlProbe
from kobold_tui.hardware.process_files import ProcessFiles
from kobold_tui.hardware.process_owners import ProcessOwners


class MachineProbe:
    """The cards and the memory of this machine.

    `workers` gives the process ids of our instances by name; their processes on the cards are marked. Each
    of the two readings belongs to one thread.
    """

    def __init__(
        self,
        workers: Callable[[], Mapping[str, int]] = dict,
        environment: Mapping[str, str] = os.environ,
        root: Path = Path("/"),
    ) -> None:
        self._workers = workers
        self._nvml = NvmlProbe(environment, root)
        self._amd: AmdProbe | None = None
        self._hip_wanted = environment.get("HIP_VISIBLE_DEVICES")
        self._root = root
        self._owners = ProcessOwners(ProcessFiles(root))
        self._host = HostProbe(root)

    def read_host(self) -> Telemetry:
        """Return what the host and our workers take now, without cards."""
        return Telemetry(
            taken_at=time.monotonic(),
            host=self._host.snapshot(),
            workers=self._host.worker_bytes(dict(self._workers())),
        )

    def read_gpus(self) -> GpuReading:
        """Return what all cards report now; never raises for a driver's sake, but can hang with it."""
        found = self._nvml.snapshot() + self._amd_cards()
        return GpuReading(
            taken_at=time.monotonic(),
            gpus=self._owners.join(found, dict(self._workers())),
            driver=self._nvml.driver,
            cuda_version=self._nvml.cuda_version,
            notice=None if found else no_cards_notice(self._nvml.fault, sys.platform),
        )

    def close(self) -> None:
        """Give the driver back."""
        self._nvml.close()

    def _amd_cards(self) -> tuple[GpuSnapshot, ...]:
        if self._amd is None:
            self._amd = AmdProbe(self._root, self._hip_wanted)
            if self._amd.snapshot():
                self._amd = AmdProbe(self._root, self._hip_wanted, market_names())
        return self._amd.snapshot()


def no_cards_notice(fault: str | None, platform: str) -> str:
    """Return in a sentence why there are no figures of cards."""
    if fault:
        return f"The NVIDIA driver shows no card: {fault.rstrip('.')}."
    if platform == "darwin":
        return "No GPU telemetry on macOS: Apple's GPU shares the machine's RAM."
    return "No GPU telemetry: there is no NVIDIA driver and no AMD card."
