"""AMD's cards are read from the kernel's files; what a card does not have is unknown."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvml_stub import Stub

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.hardware.amd import AmdProbe
from kobold_tui.hardware.amd_names import market_names
from kobold_tui.hardware.probe import MachineProbe

GIB = 1024**3


def add_card(root: Path, number: int, slot: str, **files: str) -> Path:
    device = root / f"sys/class/drm/card{number}/device"
    (device / "hwmon/hwmon3").mkdir(parents=True)
    written = {"vendor": "0x1002", "device": "0x744c", "uevent": f"DRIVER=amdgpu\nPCI_SLOT_NAME={slot}"}
    for name, content in (written | files).items():
        (device / name.replace("__", "/hwmon3/")).write_text(content + "\n")
    return device


FULL = {
    "unique_id": "1234abcd",
    "product_name": "Radeon PRO W7900",
    "mem_info_vram_total": str(48 * GIB),
    "mem_info_vram_used": str(12 * GIB),
    "gpu_busy_percent": "37",
    "mem_busy_percent": "9",
    "hwmon__temp1_input": "61500",
    "hwmon__power1_average": "123000000",
    "hwmon__power1_cap": "241000000",
    "hwmon__pwm1": "102",
    "hwmon__pwm1_max": "255",
    "hwmon__freq1_input": "1980000000",
    "hwmon__freq2_input": "1124000000",
}


def test_every_field_is_in_the_units_of_its_name(tmp_path: Path) -> None:
    add_card(tmp_path, 0, "0000:03:00.0", **FULL)
    assert AmdProbe(tmp_path).snapshot() == (
        GpuSnapshot(
            index=0,
            uuid="GPU-1234abcd",
            name="Radeon PRO W7900",
            pci_bus_id="0000:03:00.0",
            memory_total_bytes=48 * GIB,
            memory_used_bytes=12 * GIB,
            memory_free_bytes=36 * GIB,
            utilization_percent=37,
            memory_utilization_percent=9,
            temperature_c=62,
            power_w=123.0,
            power_limit_w=241.0,
            fan_percent=40,
            clock_sm_mhz=1980,
            clock_memory_mhz=1124,
            are_processes_known=False,
        ),
    )


def test_what_a_card_does_not_tell_is_unknown(tmp_path: Path) -> None:
    add_card(tmp_path, 0, "0000:03:00.0", gpu_busy_percent="busy", mem_info_vram_used="")
    (card,) = AmdProbe(tmp_path).snapshot()
    assert card == GpuSnapshot(
        index=0, uuid="", name="AMD GPU 0x744c", pci_bus_id="0000:03:00.0", are_processes_known=False
    )


def test_cards_are_in_the_order_of_their_slots_and_others_are_left_out(tmp_path: Path) -> None:
    add_card(tmp_path, 0, "0000:83:00.0", unique_id="b")
    add_card(tmp_path, 1, "0000:03:00.0", unique_id="a")
    add_card(tmp_path, 2, "0000:01:00.0", vendor="0x8086")
    (tmp_path / "sys/class/drm/card0-DP-1").mkdir()
    assert [card.uuid for card in AmdProbe(tmp_path).snapshot()] == ["GPU-a", "GPU-b"]
    shown = AmdProbe(tmp_path, wanted="1").snapshot()
    assert [(card.index, card.is_visible) for card in shown] == [(0, False), (0, True)]


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    add_card(tmp_path, 0, "0000:03:00.0", product_name="Card\x1b]0;x\x07")
    assert "\x1b" not in AmdProbe(tmp_path).snapshot()[0].name


def test_a_machine_with_amd_cards_shows_them_under_their_market_names(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.tell(cards=0)
    add_card(tmp_path, 0, "0000:03:00.0", **FULL)
    library = SimpleNamespace(
        amdsmi_init=lambda: None,
        amdsmi_get_processor_handles=lambda: ["handle"],
        amdsmi_get_gpu_device_bdf=lambda _: "0000:03:00.0",
        amdsmi_get_gpu_asic_info=lambda _: {"market_name": "AMD Radeon PRO W7900"},
        amdsmi_shut_down=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "amdsmi", library)
    reading = MachineProbe(dict, {}, tmp_path).read_gpus()
    assert [card.name for card in reading.gpus] == ["AMD Radeon PRO W7900"]
    assert reading.notice is None


@pytest.mark.parametrize("broken", ["amdsmi_init", "amdsmi_get_processor_handles", "amdsmi_shut_down"])
def test_a_broken_library_of_amds_costs_nothing(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("driver not loaded")

    names = ("amdsmi_init", "amdsmi_get_processor_handles", "amdsmi_shut_down")
    library = SimpleNamespace(**dict.fromkeys(names, list))
    setattr(library, broken, fail)
    monkeypatch.setitem(sys.modules, "amdsmi", library)
    assert market_names() == {}
