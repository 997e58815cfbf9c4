"""What the hardware reports at one moment; a field that the driver cannot tell is None, never zero."""

from __future__ import annotations

import msgspec


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds memory of a card; `instance` names ours, None is somebody else's.

    `is_verified` is whether `pid` is known to be a number of this machine's or container's own list of
    processes; where it is not, name and user are unknown and the process cannot be ended from here.
    """

    pid: int
    name: str | None = None
    user: str | None = None
    memory_bytes: int | None = None
    utilization_percent: int | None = None
    instance: str | None = None
    is_verified: bool = False


class MigInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of a card in MIG mode, which programs see as a device of its own.

    `is_visible` is False for a slice that `CUDA_VISIBLE_DEVICES` hides from us by naming another one.
    """

    index: int
    uuid: str
    name: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_free_bytes: int | None = None
    processes: tuple[GpuProcess, ...] = ()
    is_visible: bool = True


class GpuSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One card at one moment; `index` counts as llama.cpp does under `CUDA_DEVICE_ORDER=PCI_BUS_ID`.

    `is_visible` is False for a card that `CUDA_VISIBLE_DEVICES` hides from us; such a card has no place in
    llama.cpp's list and `index` is its number among all cards. `uuid` is empty where the driver gives none.
    `are_processes_known` is False where the driver refuses the list of processes, which is then empty.
    `stale_since` (monotonic seconds) marks the last figures of a card that has stopped answering, `fault`
    says why in the driver's words.
    """

    index: int
    uuid: str
    name: str
    pci_bus_id: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    utilization_percent: int | None = None
    memory_utilization_percent: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    fan_percent: int | None = None
    clock_sm_mhz: int | None = None
    clock_memory_mhz: int | None = None
    performance_state: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    pcie_tx_bytes_per_second: int | None = None
    pcie_rx_bytes_per_second: int | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    mig_enabled: bool | None = None
    mig_instances: tuple[MigInstance, ...] = ()
    processes: tuple[GpuProcess, ...] = ()
    are_processes_known: bool = True
    is_visible: bool = True
    stale_since: float | None = None
    fault: str | None = None

    @property
    def key(self) -> str:
        """What names this card from one reading to the next, also where the driver gives no UUID."""
        return self.uuid or self.pci_bus_id or f"#{self.index}"


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

    `taken_at` is a monotonic time in seconds; `driver` and `cuda_version` are None without NVIDIA. `notice`
    says in a sentence why there are no figures of cards, where there are none.
    """

    taken_at: float
    host: HostSnapshot
    gpus: tuple[GpuSnapshot, ...] = ()
    driver: str | None = None
    cuda_version: str | None = None
    workers: dict[str, int] = {}
    notice: str | None = None


class GpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """All cards at one moment, apart from the host, whose figures never wait for a driver."""

    taken_at: float
    gpus: tuple[GpuSnapshot, ...] = ()
    driver: str | None = None
    cuda_version: str | None = None
    notice: str | None = None


class GpuPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One moment in the history of a card; `taken_at` is a monotonic time in seconds."""

    taken_at: float
    memory_used_bytes: int | None
    utilization_percent: int | None
    power_w: float | None
    temperature_c: int | None


class HostPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One moment in the history of the machine; `taken_at` is a monotonic time in seconds."""

    taken_at: float
    memory_used_bytes: int
    cpu_percent: float | None
