"""The cards are read through NVML; whatever the driver refuses is unknown, never an error."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from nvml_stub import (
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    TIMEOUT,
    UNINITIALIZED,
    UNKNOWN,
    Stub,
)

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, MigInstance
from kobold_tui.hardware.nvml import NvmlProbe

OpenProbe = Callable[..., NvmlProbe]

MIB = 1024**2
GIB = 1024**3


def test_every_field_is_in_the_units_of_its_name(stub: Stub, open_probe: OpenProbe) -> None:
    stub.tell("still", "process 0 77 4096 33")
    assert open_probe().snapshot()[0] == GpuSnapshot(
        index=0,
        uuid="GPU-00000000-0000-0000-0000-000000000000",
        name="NVIDIA A100-SXM4-80GB",
        pci_bus_id="00000000:07:00.0",
        memory_total_bytes=80 * GIB,
        memory_used_bytes=4096 * MIB + 64 * MIB,
        memory_free_bytes=80 * GIB - (4096 + 64 + 500) * MIB,
        memory_reserved_bytes=500 * MIB,
        utilization_percent=50,
        memory_utilization_percent=30,
        temperature_c=58,
        power_w=250.0,
        power_limit_w=400.0,
        fan_percent=None,
        clock_sm_mhz=1410,
        clock_memory_mhz=1593,
        performance_state=2,
        throttle_reasons=("power cap", "thermal (software)"),
        pcie_tx_bytes_per_second=310_000 * 1024,
        pcie_rx_bytes_per_second=820_000 * 1024,
        ecc_corrected=3,
        ecc_uncorrected=0,
        mig_enabled=False,
        processes=(GpuProcess(pid=77, memory_bytes=4096 * MIB, utilization_percent=33),),
    )


def test_a_card_of_another_kind_has_a_fan_and_no_error_counters(open_probe: OpenProbe) -> None:
    card = open_probe().snapshot()[1]
    assert (card.name, card.fan_percent) == ("NVIDIA GeForce RTX 4090", 47)
    assert (card.ecc_corrected, card.ecc_uncorrected, card.mig_enabled) == (None, None, None)


@pytest.mark.parametrize("cards", [1, 2, 8, 16])
def test_cards_are_numbered_by_their_slots_whatever_the_order_of_the_driver(
    stub: Stub, open_probe: OpenProbe, cards: int
) -> None:
    stub.tell("reversed", cards=cards)
    found = open_probe().snapshot()
    assert [card.index for card in found] == list(range(cards))
    slots = [card.pci_bus_id or "" for card in found]
    assert slots == sorted(slots, key=lambda slot: int(slot.split(":")[1], 16))


def test_driver_and_cuda_versions_are_told(open_probe: OpenProbe) -> None:
    probe = open_probe()
    probe.snapshot()
    assert (probe.driver, probe.cuda_version, probe.gpu_present()) == ("580.95.05", "13.0", True)


FIELDS_BY_CALL = {
    ("nvmlDeviceGetPciInfo_v3",): ("pci_bus_id",),
    ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo"): (
        *("memory_total_bytes", "memory_used_bytes", "memory_free_bytes", "memory_reserved_bytes"),
    ),
    ("nvmlDeviceGetUtilizationRates",): ("utilization_percent", "memory_utilization_percent"),
    ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV"): ("temperature_c",),
    ("nvmlDeviceGetPowerUsage",): ("power_w",),
    ("nvmlDeviceGetEnforcedPowerLimit",): ("power_limit_w",),
    ("nvmlDeviceGetFanSpeed",): ("fan_percent",),
    ("nvmlDeviceGetClockInfo",): ("clock_sm_mhz", "clock_memory_mhz"),
    ("nvmlDeviceGetPerformanceState",): ("performance_state",),
    ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"): (
        "throttle_reasons",
    ),
    ("nvmlDeviceGetPcieThroughput",): ("pcie_tx_bytes_per_second", "pcie_rx_bytes_per_second"),
    ("nvmlDeviceGetTotalEccErrors",): ("ecc_corrected", "ecc_uncorrected"),
    ("nvmlDeviceGetMigMode",): ("mig_enabled",),
}
FIELDS = sorted({field for fields in FIELDS_BY_CALL.values() for field in fields})
CODES = (
    *(NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, TIMEOUT),
    *(UNINITIALIZED, DRIVER_NOT_LOADED, GPU_IS_LOST, UNKNOWN),
)


@pytest.mark.parametrize("calls", FIELDS_BY_CALL, ids=" ".join)
def test_a_call_that_fails_costs_its_own_fields_and_no_others(
    stub: Stub, open_probe: OpenProbe, calls: tuple[str, ...]
) -> None:
    stub.tell("still")
    whole = open_probe().snapshot()
    for code in CODES:
        stub.tell("still", *(f"fail {call} {code}" for call in calls))
        probe = open_probe()
        for card, complete in zip(probe.snapshot(), whole, strict=True):
            expected = {
                field: None if field in FIELDS_BY_CALL[calls] else getattr(complete, field)
                for field in FIELDS
            }
            assert {field: getattr(card, field) for field in FIELDS} == expected, code
            assert (card.stale_since, card.fault, card.uuid, card.name) == (
                *(None, None),
                *(complete.uuid, complete.name),
            )
        probe.close()


@pytest.mark.parametrize("code", CODES)
def test_names_that_are_refused_leave_the_figures(stub: Stub, open_probe: OpenProbe, code: int) -> None:
    stub.tell(f"fail nvmlDeviceGetName {code}", f"fail nvmlDeviceGetUUID {code}")
    cards = open_probe().snapshot()
    assert [(card.name, card.uuid, card.stale_since) for card in cards] == [("NVIDIA GPU", "", None)] * 2
    assert all(card.memory_used_bytes for card in cards)
    assert len({card.key for card in cards}) == 2


@pytest.mark.parametrize("code", CODES)
def test_lists_of_processes_that_are_refused_are_unknown_and_not_empty(
    stub: Stub, open_probe: OpenProbe, code: int
) -> None:
    process = "process 0 77 4096 33"
    compute, graphics = (
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
    )
    stub.tell(process, f"fail {compute} {code}", f"fail {graphics} {code} 1")
    first, second = open_probe().snapshot()
    assert (first.processes, first.are_processes_known) == ((), True)
    assert (second.processes, second.are_processes_known) == ((), False)
    stub.tell(process, f"fail nvmlDeviceGetProcessUtilization {code}")
    assert open_probe().snapshot()[0].processes == (GpuProcess(pid=77, memory_bytes=4096 * MIB),)


def test_the_first_version_of_a_call_stands_in_for_a_second_that_a_driver_lacks(
    stub: Stub, open_probe: OpenProbe
) -> None:
    stub.tell("still")
    whole = open_probe().snapshot()[0]
    newer = (
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetCurrentClocksEventReasons",
    )
    stub.tell("still", *(f"fail {call} {FUNCTION_NOT_FOUND}" for call in newer))
    card = open_probe().snapshot()[0]
    assert (card.temperature_c, card.throttle_reasons) == (whole.temperature_c, whole.throttle_reasons)
    assert (card.memory_free_bytes, card.memory_reserved_bytes) == (whole.memory_free_bytes, None)
    assert card.memory_used_bytes == (whole.memory_used_bytes or 0) + 500 * MIB


def test_a_card_that_supports_nothing_is_listed_and_not_taken_for_lost(
    stub: Stub, open_probe: OpenProbe
) -> None:
    kept = ("nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetPciInfo_v3")
    everything = {call for calls in FIELDS_BY_CALL for call in calls} - set(kept)
    lists = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3")
    stub.tell(*(f"fail {call} {NOT_SUPPORTED} 0" for call in (*everything, *lists)))
    card = open_probe().snapshot()[0]
    assert (card.memory_used_bytes, card.power_w, card.stale_since) == (None, None, None)
    assert not card.are_processes_known


def test_numbers_that_stand_for_none_are_unknown(stub: Stub, open_probe: OpenProbe) -> None:
    stub.tell("garbage", "process 0 77 4096 33")
    card = open_probe().snapshot()[0]
    for field in ("utilization_percent", "memory_utilization_percent", "power_w", "clock_sm_mhz"):
        assert getattr(card, field) is None, field
    assert (card.memory_total_bytes, card.memory_reserved_bytes, card.performance_state) == (None, None, None)
    assert card.processes == (GpuProcess(pid=77),)


def test_slices_of_a_card_are_devices_with_memory_and_processes_of_their_own(
    stub: Stub, open_probe: OpenProbe
) -> None:
    stub.tell("still", "mig 0 2", "process 0 77 4096 33 1")
    card = open_probe().snapshot()[0]
    assert (card.mig_enabled, card.utilization_percent) == (True, None)
    assert [found.index for found in card.mig_instances] == [0, 1]
    assert card.mig_instances[1] == MigInstance(
        index=1,
        uuid="MIG-00000001-0000-0000-0000-000000000000",
        name="NVIDIA A100-SXM4-80GB MIG 1g.10gb",
        memory_total_bytes=10 * GIB,
        memory_used_bytes=(4096 + 64) * MIB,
        memory_free_bytes=10 * GIB - (4096 + 64 + 500) * MIB,
        processes=(GpuProcess(pid=77, memory_bytes=4096 * MIB, utilization_percent=33),),
    )


@pytest.mark.parametrize("call", ["nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex"])
def test_slices_that_are_refused_leave_the_card(stub: Stub, open_probe: OpenProbe, call: str) -> None:
    stub.tell("mig 0 2", f"fail {call} {NO_PERMISSION}")
    card = open_probe().snapshot()[0]
    assert (card.mig_enabled, card.mig_instances, card.stale_since) == (True, (), None)


def test_names_and_limits_are_asked_once_and_slow_calls_of_one_card_a_round(
    stub: Stub, open_probe: OpenProbe
) -> None:
    stub.tell("trace", cards=4)
    probe = open_probe()
    probe.snapshot()
    before = len(stub.calls)
    assert stub.calls.count("nvmlDeviceGetPcieThroughput") == 2 * 4
    probe.snapshot()
    second = stub.calls[before:]
    assert [call for call in second if call in {"nvmlDeviceGetName", "nvmlDeviceGetUUID"}] == []
    assert (second.count("nvmlDeviceGetPcieThroughput"), second.count("nvmlDeviceGetPowerUsage")) == (2, 4)
    assert all(card.pcie_tx_bytes_per_second for card in probe.snapshot())


def test_hidden_cards_come_last_and_visible_ones_are_numbered_as_llama_cpp_does(
    stub: Stub, open_probe: OpenProbe
) -> None:
    stub.tell(cards=3)
    cards = open_probe(CUDA_VISIBLE_DEVICES="2,0").snapshot()
    assert [(card.index, card.is_visible, (card.pci_bus_id or "")[9:11]) for card in cards] == [
        *((0, True, "25"), (1, True, "07")),
        (1, False, "16"),
    ]


def test_a_slice_that_is_named_is_the_only_visible_one(stub: Stub, open_probe: OpenProbe) -> None:
    stub.tell("mig 0 3")
    cards = open_probe(CUDA_VISIBLE_DEVICES="MIG-00000001").snapshot()
    assert [found.is_visible for found in cards[0].mig_instances] == [False, True, False]
    assert [card.is_visible for card in cards] == [True, False]


def test_the_library_of_this_machine_never_raises(
    open_probe: OpenProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pynvml = pytest.importorskip("pynvml")
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    pynvml._nvmlGetFunctionPointer_cache.clear()
    probe = open_probe(**os.environ)
    assert probe.gpu_present() == bool(probe.snapshot())
    probe.close()
