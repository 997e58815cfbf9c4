"""The hardware as one reading: the protocol that services know, and the probe of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, Telemetry
from kobold_tui.hardware.host import HostProbe
from kobold_tui.hardware.nvml import NvmlProbe


class HardwareProbe(Protocol):
    """Reads all hardware; every call may block, so it runs in a thread of its own."""

    def read(self) -> Telemetry:
        """Return what all cards and the host report now."""
        ...

    def gpu_present(self) -> bool:
        """Whether the machine has a card that its driver knows."""
        ...


class MachineProbe:
    """The cards and the memory of this machine.

    `workers` gives the process ids of our instances by name; their processes on the cards are marked.
    """

    def __init__(
        self,
        workers: Callable[[], Mapping[str, int]] = dict,
        nvml: NvmlProbe | None = None,
        host: HostProbe | None = None,
    ) -> None:
        self._workers = workers
        self._nvml = nvml or NvmlProbe()
        self._host = host or HostProbe()

    def read(self) -> Telemetry:
        """Return what all cards and the host report now; never raises for a driver's sake."""
        workers = dict(self._workers())
        names = {pid: name for name, pid in workers.items()}
        return Telemetry(
            taken_at=time.monotonic(),
            gpus=tuple(_mark(gpu, names) for gpu in self._nvml.snapshot()),
            host=self._host.snapshot(),
            driver=self._nvml.driver_version(),
            cuda_version=self._nvml.cuda_version(),
            workers=self._host.worker_bytes(workers),
        )

    def gpu_present(self) -> bool:
        """Whether the machine has a card that its driver knows."""
        return self._nvml.gpu_present()


def _mark(gpu: GpuSnapshot, names: Mapping[int, str]) -> GpuSnapshot:
    processes = tuple(_own(process, names) for process in gpu.processes)
    return msgspec.structs.replace(gpu, processes=processes)


def _own(process: GpuProcess, names: Mapping[int, str]) -> GpuProcess:
    return msgspec.structs.replace(process, instance=names.get(process.pid))
