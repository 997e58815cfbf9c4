"""What the hardware reports at one moment; a field that the driver cannot tell is None, never zero."""

from __future__ import annotations

import msgspec


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds memory of a card; `instance` names ours, None is somebody else's."""

    pid: int
    name: str | None = None
    memory_bytes: int | None = None
    instance: str | None = None


class GpuSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One card at one moment; `index` counts as llama.cpp does under `CUDA_DEVICE_ORDER=PCI_BUS_ID`."""

    index: int
    uuid: str
    name: str
    pci_bus_id: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_free_bytes: int | None = None
    utilization_percent: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    fan_percent: int | None = None
    clock_sm_mhz: int | None = None
    processes: tuple[GpuProcess, ...] = ()


class HostSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """RAM and CPU of the machine or of the container, whichever is the tighter limit."""

    memory_total_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int = 0
    swap_used_bytes: int = 0
    cpu_percent: float | None = None

    @property
    def memory_used_bytes(self) -> int:
        """Memory that a new allocation cannot have."""
        return self.memory_total_bytes - self.memory_available_bytes


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """All cards and the host at one moment; `workers` are the bytes of RAM of our instances, by name.

    `taken_at` is a monotonic time in seconds; `driver` and `cuda_version` are None without NVIDIA.
    """

    taken_at: float
    host: HostSnapshot
    gpus: tuple[GpuSnapshot, ...] = ()
    driver: str | None = None
    cuda_version: str | None = None
    workers: dict[str, int] = {}
