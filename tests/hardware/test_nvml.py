"""The cards are read through NVML; whatever the driver refuses is unknown, never an error."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from kobold_tui.domain.gpu import GpuProcess
from kobold_tui.hardware.nvml import NvmlProbe

GIB = 1024**3


class NVMLError(Exception):
    """What the bindings raise for everything."""


class FakeNvml:
    """Stands in for the module `pynvml`: two cards, numbered by speed and not by slot."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.slots = ["00000000:AF:00.0", "00000000:3B:00.0"]
        self.refused: set[str] = set()
        self.has_driver = True
        self.inits = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._refuse if name in self.refused else getattr(self, f"answer_{name}", self._refuse)

    def _refuse(self, *_: object) -> None:
        raise NVMLError("Not Supported")

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's name
        self.inits += 1
        if not self.has_driver:
            raise NVMLError("Driver Not Loaded")

    def answer_nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def answer_nvmlDeviceGetCount(self) -> int:  # noqa: N802
        if not self.has_driver:
            raise NVMLError("GPU is lost")
        return len(self.slots)

    def answer_nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def answer_nvmlDeviceGetPciInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(busId=self.slots[handle].encode())

    def answer_nvmlDeviceGetUUID(self, handle: int) -> bytes:  # noqa: N802
        return f"GPU-{handle}".encode()

    def answer_nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return f"Card {handle}"

    def answer_nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=24 * GIB, used=(handle + 1) * GIB, free=(23 - handle) * GIB)

    def answer_nvmlDeviceGetUtilizationRates(self, _: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=37, memory=5)

    def answer_nvmlDeviceGetTemperature(self, _: int, sensor: int) -> int:  # noqa: N802
        return {0: 61}[sensor]

    def answer_nvmlDeviceGetPowerUsage(self, _: int) -> int:  # noqa: N802
        return 123_456

    def answer_nvmlDeviceGetEnforcedPowerLimit(self, _: int) -> int:  # noqa: N802
        return 350_000

    def answer_nvmlDeviceGetFanSpeed(self, _: int) -> int:  # noqa: N802
        return 44

    def answer_nvmlDeviceGetClockInfo(self, _: int, clock: int) -> int:  # noqa: N802
        return {0: 1, 1: 1980, 2: 3}[clock]

    def answer_nvmlDeviceGetComputeRunningProcesses(self, _: int) -> list[SimpleNamespace]:  # noqa: N802
        return [
            SimpleNamespace(pid=10, usedGpuMemory=GIB),
            SimpleNamespace(pid=11, usedGpuMemory=3 * GIB),
            SimpleNamespace(pid=12, usedGpuMemory=2**64 - 1),
        ]

    def answer_nvmlDeviceGetGraphicsRunningProcesses(self, _: int) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=10, usedGpuMemory=2 * GIB), SimpleNamespace(pid=13, usedGpuMemory=None)]

    def answer_nvmlSystemGetProcessName(self, pid: int) -> bytes:  # noqa: N802
        if pid == 12:
            raise NVMLError("Not Found")
        return f"/opt/secret/prog{pid} --token=x".encode()

    def answer_nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"550.54.15"

    def answer_nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return 12040


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml()


def test_cards_are_numbered_in_the_order_of_their_slots(nvml: FakeNvml) -> None:
    cards = NvmlProbe(nvml).snapshot()
    assert [(card.index, card.name, card.pci_bus_id) for card in cards] == [
        (0, "Card 1", "00000000:3B:00.0"),
        (1, "Card 0", "00000000:AF:00.0"),
    ]


def test_every_field_is_in_the_units_of_its_name(nvml: FakeNvml) -> None:
    card = NvmlProbe(nvml).snapshot()[1]
    assert card.uuid == "GPU-0"
    assert (card.memory_total_bytes, card.memory_used_bytes, card.memory_free_bytes) == (
        24 * GIB,
        1 * GIB,
        23 * GIB,
    )
    assert (card.utilization_percent, card.temperature_c, card.fan_percent) == (37, 61, 44)
    assert (card.power_w, card.power_limit_w, card.clock_sm_mhz) == (123.456, 350.0, 1980)


def test_processes_are_listed_once_the_largest_first(nvml: FakeNvml) -> None:
    assert NvmlProbe(nvml).snapshot()[0].processes == (
        GpuProcess(pid=11, name="prog11", memory_bytes=3 * GIB),
        GpuProcess(pid=10, name="prog10", memory_bytes=2 * GIB),
        GpuProcess(pid=12, name=None, memory_bytes=None),
        GpuProcess(pid=13, name="prog13", memory_bytes=None),
    )


def test_driver_and_cuda_versions_are_told(nvml: FakeNvml) -> None:
    probe = NvmlProbe(nvml)
    assert (probe.driver_version(), probe.cuda_version(), probe.gpu_present()) == ("550.54.15", "12.4", True)


FIELDS_BY_CALL = {
    "nvmlDeviceGetMemoryInfo": ("memory_total_bytes", "memory_used_bytes", "memory_free_bytes"),
    "nvmlDeviceGetUtilizationRates": ("utilization_percent",),
    "nvmlDeviceGetTemperature": ("temperature_c",),
    "nvmlDeviceGetPowerUsage": ("power_w",),
    "nvmlDeviceGetEnforcedPowerLimit": ("power_limit_w",),
    "nvmlDeviceGetFanSpeed": ("fan_percent",),
    "nvmlDeviceGetClockInfo": ("clock_sm_mhz",),
    "nvmlDeviceGetPciInfo": ("pci_bus_id",),
}


@pytest.mark.parametrize("call", FIELDS_BY_CALL)
def test_what_a_card_cannot_tell_is_unknown_and_the_rest_is_there(nvml: FakeNvml, call: str) -> None:
    nvml.refused.add(call)
    card = NvmlProbe(nvml).snapshot()[0]
    for other, fields in FIELDS_BY_CALL.items():
        for field in fields:
            assert (getattr(card, field) is None) == (other == call), field


def test_a_card_that_refuses_everything_is_still_listed(nvml: FakeNvml) -> None:
    nvml.refused |= {name.removeprefix("answer_") for name in dir(FakeNvml) if name.startswith("answer_")}
    nvml.refused -= {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"}
    cards = NvmlProbe(nvml).snapshot()
    assert [(card.index, card.name, card.processes) for card in cards] == [
        (0, "NVIDIA GPU", ()),
        (1, "NVIDIA GPU", ()),
    ]


def test_a_machine_without_a_driver_has_no_cards(nvml: FakeNvml) -> None:
    nvml.has_driver = False
    probe = NvmlProbe(nvml)
    assert probe.snapshot() == ()
    assert (probe.gpu_present(), probe.driver_version(), probe.cuda_version()) == (False, None, None)


def test_the_driver_is_looked_for_again_after_ten_seconds_and_not_sooner(nvml: FakeNvml) -> None:
    now = 0.0
    probe = NvmlProbe(nvml, clock=lambda: now)
    nvml.has_driver = False
    assert probe.snapshot() == ()
    now = 9.0
    assert probe.snapshot() == ()
    assert nvml.inits == 1
    nvml.has_driver, now = True, 11.0
    assert len(probe.snapshot()) == 2


def test_a_driver_that_goes_away_and_comes_back_is_opened_anew(nvml: FakeNvml) -> None:
    now = 0.0
    probe = NvmlProbe(nvml, clock=lambda: now)
    assert len(probe.snapshot()) == 2
    nvml.has_driver = False
    assert probe.snapshot() == ()
    nvml.has_driver, now = True, 20.0
    assert len(probe.snapshot()) == 2
    assert nvml.inits == 2


def test_constants_are_those_of_the_real_bindings() -> None:
    pynvml = pytest.importorskip("pynvml")
    assert (pynvml.NVML_TEMPERATURE_GPU, pynvml.NVML_CLOCK_SM) == (0, 1)
    answers = [name.removeprefix("answer_") for name in dir(FakeNvml) if name.startswith("answer_")]
    assert [name for name in answers if not hasattr(pynvml, name)] == []


def test_the_real_bindings_never_raise_here() -> None:
    probe = NvmlProbe()
    assert (len(probe.snapshot()) > 0) == probe.gpu_present()
    probe.close()
