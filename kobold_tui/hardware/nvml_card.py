"""One card as NVML knows it: what never changes is read once, what is slow to read now and then.

PCIe throughput is measured by the driver over 20 ms a direction while the caller waits; error counters and
the layout of MIG change rarely. These wait for a slow round, and keep their values in between.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kobold_tui.domain.gpu import GpuSnapshot, MigInstance
from kobold_tui.hardware.fields import number, percent, text, thousandth
from kobold_tui.hardware.nvml_processes import LISTS, ProcessList
from kobold_tui.hardware.nvml_questions import Questions
from kobold_tui.hardware.visible_devices import Identity

TEMPERATURE_GPU, CLOCK_SM, CLOCK_MEMORY, PCIE_SENT, PCIE_RECEIVED = 0, 1, 2, 0, 1
CORRECTED, UNCORRECTED, SINCE_DRIVER_LOAD = 0, 1, 0
MEMORY_INFO_V2 = 0x02000028
KILOBYTE = 1024
MOST_SLICES = 64
MOST_PERFORMANCE_STATES = 15

WITNESSES: tuple[tuple[str, *tuple[int, ...]], ...] = (
    ("nvmlDeviceGetMemoryInfo",),
    ("nvmlDeviceGetPowerUsage",),
    ("nvmlDeviceGetPerformanceState",),
    ("nvmlDeviceGetClockInfo", CLOCK_SM),
    ("nvmlDeviceGetTemperature", TEMPERATURE_GPU),
)
TEMPERATURES = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
THROTTLES = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")

THROTTLE_WORDS = {
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
"""Reasons for lower clocks, by their bit in nvml.h; 0x1, an idle card, is none."""


class SlowFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is read in slow rounds alone."""

    pcie_tx_bytes_per_second: int | None = None
    pcie_rx_bytes_per_second: int | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    mig_enabled: bool | None = None
    power_limit_w: float | None = None


class Slice:
    """A MIG instance of a card."""

    def __init__(self, bindings: Any, index: int, handle: Any, uuid: str) -> None:
        self._bindings = bindings
        self._index = index
        self._handle = handle
        self.uuid = uuid
        self._name = text(Questions(bindings, handle).ask("nvmlDeviceGetName"))
        self._processes = ProcessList()

    def read(self) -> MigInstance:
        """Return the slice as it is now."""
        questions = Questions(self._bindings, self._handle)
        total, used, free, _ = memory_of(questions)
        return MigInstance(
            index=self._index,
            uuid=self.uuid,
            name=self._name,
            memory_total_bytes=total,
            memory_used_bytes=used,
            memory_free_bytes=free,
            processes=self._processes.read(questions),
        )


class Card:
    """A card for as long as NVML stays open; `number` is its place in NVML's list."""

    def __init__(self, bindings: Any, number: int, handle: Any) -> None:
        self._bindings = bindings
        self._handle = handle
        self.number = number
        questions = Questions(bindings, handle)
        self.pci_bus_id = text(getattr(questions.ask("nvmlDeviceGetPciInfo"), "busId", None))
        self._uuid = text(questions.ask("nvmlDeviceGetUUID")) or ""
        self._name = text(questions.ask("nvmlDeviceGetName")) or "NVIDIA GPU"
        self._slow = SlowFigures()
        self._slices: tuple[Slice, ...] = ()
        self._processes = ProcessList()
        self.fault: str | None = None

    @property
    def identity(self) -> Identity:
        """The names that `CUDA_VISIBLE_DEVICES` may use."""
        return Identity(uuid=self._uuid, slices=tuple(found.uuid for found in self._slices))

    def blank(self) -> GpuSnapshot:
        """Return the card with its names and no figures."""
        return GpuSnapshot(index=self.number, uuid=self._uuid, name=self._name, pci_bus_id=self.pci_bus_id)

    def read(self, *, slowly: bool) -> GpuSnapshot:
        """Return the card as it is now; afterwards `fault` says in the driver's words whether it is lost."""
        questions = Questions(self._bindings, self._handle)
        figures = self._figures(questions, slowly=slowly)
        self._examine(is_suspicious=questions.is_suspicious)
        return figures

    def _examine(self, *, is_suspicious: bool) -> None:
        """Ask a card that gave a strange answer once more; it is lost when no witness answers any more.

        A card that got lost in the middle of a round is found out by this as well.
        """
        witnesses = Questions(self._bindings, self._handle)
        if is_suspicious:
            for question in WITNESSES:
                witnesses.ask(*question)
        self.fault = witnesses.fault

    def _figures(self, questions: Questions, *, slowly: bool) -> GpuSnapshot:
        if slowly:
            self._slow = self._read_slowly(questions)
        total, used, free, reserved = memory_of(questions)
        load = questions.ask("nvmlDeviceGetUtilizationRates")
        state = number(questions.ask("nvmlDeviceGetPerformanceState"))
        return GpuSnapshot(
            index=self.number,
            uuid=self._uuid,
            name=self._name,
            pci_bus_id=self.pci_bus_id,
            memory_total_bytes=total,
            memory_used_bytes=used,
            memory_free_bytes=free,
            memory_reserved_bytes=reserved,
            utilization_percent=percent(getattr(load, "gpu", None)),
            memory_utilization_percent=percent(getattr(load, "memory", None)),
            temperature_c=number(questions.first(TEMPERATURES, TEMPERATURE_GPU)),
            power_w=thousandth(questions.ask("nvmlDeviceGetPowerUsage")),
            fan_percent=number(questions.ask("nvmlDeviceGetFanSpeed")),
            clock_sm_mhz=number(questions.ask("nvmlDeviceGetClockInfo", CLOCK_SM)),
            clock_memory_mhz=number(questions.ask("nvmlDeviceGetClockInfo", CLOCK_MEMORY)),
            performance_state=state if state is not None and state <= MOST_PERFORMANCE_STATES else None,
            throttle_reasons=throttle_words(questions.first(THROTTLES)),
            processes=self._processes.read(questions),
            are_processes_known=any(questions.code(function) is None for function in LISTS),
            mig_instances=tuple(found.read() for found in self._slices),
            **msgspec.structs.asdict(self._slow),
        )

    def _read_slowly(self, questions: Questions) -> SlowFigures:
        mode = questions.ask("nvmlDeviceGetMigMode")
        is_cut = bool(mode[0]) if mode else None
        self._slices = self._find_slices(questions) if is_cut else ()
        return SlowFigures(
            pcie_tx_bytes_per_second=_bytes(questions.ask("nvmlDeviceGetPcieThroughput", PCIE_SENT)),
            pcie_rx_bytes_per_second=_bytes(questions.ask("nvmlDeviceGetPcieThroughput", PCIE_RECEIVED)),
            ecc_corrected=number(questions.ask("nvmlDeviceGetTotalEccErrors", CORRECTED, SINCE_DRIVER_LOAD)),
            ecc_uncorrected=number(
                questions.ask("nvmlDeviceGetTotalEccErrors", UNCORRECTED, SINCE_DRIVER_LOAD)
            ),
            mig_enabled=is_cut,
            power_limit_w=thousandth(questions.ask("nvmlDeviceGetEnforcedPowerLimit")),
        )

    def _find_slices(self, questions: Questions) -> tuple[Slice, ...]:
        """Return the slices there are now; those of before stay the same objects."""
        known = {found.uuid: found for found in self._slices}
        slices = []
        for index in range(min(number(questions.ask("nvmlDeviceGetMaxMigDeviceCount")) or 0, MOST_SLICES)):
            handle = questions.ask("nvmlDeviceGetMigDeviceHandleByIndex", index)
            if handle is None:
                continue  # slices are numbered with gaps
            uuid = text(Questions(self._bindings, handle).ask("nvmlDeviceGetUUID")) or ""
            slices.append(known.get(uuid) or Slice(self._bindings, index, handle, uuid))
        return tuple(slices)


def memory_of(questions: Questions) -> tuple[int | None, int | None, int | None, int | None]:
    """Return total, used, free and reserved bytes.

    The second version of the call tells apart what the driver keeps for itself; the first counts it as used.
    """
    memory = questions.ask("nvmlDeviceGetMemoryInfo", MEMORY_INFO_V2)
    if memory is None:
        memory = questions.ask("nvmlDeviceGetMemoryInfo")
    return (
        number(getattr(memory, "total", None)),
        number(getattr(memory, "used", None)),
        number(getattr(memory, "free", None)),
        number(getattr(memory, "reserved", None)),
    )


def throttle_words(bits: object) -> tuple[str, ...] | None:
    """Return what keeps the clocks down; an empty tuple is nothing, None is unknown."""
    if not isinstance(bits, int):
        return None
    return tuple(words for bit, words in THROTTLE_WORDS.items() if bits & bit)


def _bytes(kilobytes: object) -> int | None:
    """Return NVML's "KB/s" in bytes; it counts in 1024, as nvtop and nvitop take it."""
    whole = number(kilobytes)
    return None if whole is None else whole * KILOBYTE
