"""What NVIDIA's driver reports, through NVML.

Never raises: a field that the driver refuses is None, a machine without driver has no cards. After a
failure NVML is opened anew, at most every ten seconds, so that a driver that is reloaded comes back.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot

RETRY_AFTER_SECONDS = 10.0
_NOT_AVAILABLE = 2**64 - 1


class NvmlProbe:
    """The cards that NVML knows, in PCI order; `pynvml` stands in for the module of that name."""

    def __init__(
        self, pynvml: ModuleType | Any | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pynvml = pynvml
        self._clock = clock
        self._is_open = False
        self._retry_at = float("-inf")

    def snapshot(self) -> tuple[GpuSnapshot, ...]:
        """Return every card as it is now; memory in bytes, power in watts, clock in MHz."""
        cards = sorted(self._cards(), key=lambda card: pci_order(card[0]))
        return tuple(self._card(index, pci, handle) for index, (pci, handle) in enumerate(cards))

    def gpu_present(self) -> bool:
        """Whether there is at least one card."""
        return self._open() and bool(self._ask("nvmlDeviceGetCount"))

    def driver_version(self) -> str | None:
        """Return the version of the driver, such as 550.54.15; None without one."""
        return _text(self._ask("nvmlSystemGetDriverVersion")) if self._open() else None

    def cuda_version(self) -> str | None:
        """Return the newest CUDA version that the driver supports, such as 12.4; None without a driver."""
        version = self._ask("nvmlSystemGetCudaDriverVersion_v2") if self._open() else None
        return f"{version // 1000}.{version % 1000 // 10}" if isinstance(version, int) else None

    def close(self) -> None:
        """Give the driver back."""
        if self._is_open:
            self._is_open = False
            self._ask("nvmlShutdown")

    def _open(self) -> bool:
        if not self._is_open and self._clock() >= self._retry_at:
            self._retry_at = self._clock() + RETRY_AFTER_SECONDS
            try:
                self._pynvml = self._pynvml or importlib.import_module("pynvml")
                self._pynvml.nvmlInit()
            except Exception:  # noqa: BLE001 - a machine without a driver is an ordinary machine
                return False
            self._is_open = True
        return self._is_open

    def _ask(self, function: str, *arguments: object) -> Any:
        try:
            return getattr(self._pynvml, function)(*arguments)
        except Exception:  # noqa: BLE001 - what the driver refuses, or does not have, is unknown
            return None

    def _cards(self) -> list[tuple[str, Any]]:
        if not self._open():
            return []
        count = self._ask("nvmlDeviceGetCount")
        if count is None:
            self.close()
            return []
        handles = [self._ask("nvmlDeviceGetHandleByIndex", index) for index in range(count)]
        return [(self._pci_bus_id(handle), handle) for handle in handles if handle is not None]

    def _pci_bus_id(self, handle: Any) -> str:
        return _text(getattr(self._ask("nvmlDeviceGetPciInfo", handle), "busId", None)) or ""

    def _card(self, index: int, pci: str, handle: Any) -> GpuSnapshot:
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        return GpuSnapshot(
            index=index,
            uuid=_text(self._ask("nvmlDeviceGetUUID", handle)) or "",
            name=_text(self._ask("nvmlDeviceGetName", handle)) or "NVIDIA GPU",
            pci_bus_id=pci or None,
            memory_total_bytes=_number(getattr(memory, "total", None)),
            memory_used_bytes=_number(getattr(memory, "used", None)),
            memory_free_bytes=_number(getattr(memory, "free", None)),
            utilization_percent=_number(
                getattr(self._ask("nvmlDeviceGetUtilizationRates", handle), "gpu", None)
            ),
            temperature_c=_number(self._ask("nvmlDeviceGetTemperature", handle, 0)),
            power_w=_watts(self._ask("nvmlDeviceGetPowerUsage", handle)),
            power_limit_w=_watts(self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)),
            fan_percent=_number(self._ask("nvmlDeviceGetFanSpeed", handle)),
            clock_sm_mhz=_number(self._ask("nvmlDeviceGetClockInfo", handle, 1)),
            processes=self._processes(handle),
        )

    def _processes(self, handle: Any) -> tuple[GpuProcess, ...]:
        """Return the processes on a card, the largest first; one that computes and draws counts once."""
        memory: dict[int, int | None] = {}
        for function in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
            for process in self._ask(function, handle) or ():
                used = _number(process.usedGpuMemory)
                memory[process.pid] = max(used or 0, memory.get(process.pid) or 0) or used
        found = (
            GpuProcess(pid=pid, name=self._process_name(pid), memory_bytes=used)
            for pid, used in memory.items()
        )
        return tuple(sorted(found, key=lambda process: (-(process.memory_bytes or 0), process.pid)))

    def _process_name(self, pid: int) -> str | None:
        """Return the file name of a program, without its folder and arguments, which can be private."""
        name = _text(self._ask("nvmlSystemGetProcessName", pid))
        return name.split(" ")[0].rpartition("/")[2] or None if name else None


def pci_order(bus_id: str) -> tuple[int, ...]:
    """Return the sort key of a bus id such as `00000000:3B:00.0`; those without one come last."""
    try:
        return tuple(int(part, 16) for part in bus_id.replace(".", ":").split(":"))
    except ValueError:
        return (2**32,)


def _text(value: object) -> str | None:
    """Return text, which older bindings give as bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < _NOT_AVAILABLE else None


def _watts(milliwatts: object) -> float | None:
    value = _number(milliwatts)
    return None if value is None else value / 1000
