"""The AMD cards of this machine, through the files of the kernel's driver (amdgpu); no tool and no library.

Source of names and units: Documentation/gpu/amdgpu in the kernel, "Misc Driver Information" and "GPU Power,
Thermals". `pcie_bw` is left out: reading it blocks for a second.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.hardware.fields import shown_text
from kobold_tui.hardware.visible_devices import Identity, numbered, pci_order, shown_devices

VENDOR = "0x1002"
MILLI, MICRO, HZ_IN_MHZ = 1_000, 1_000_000, 1_000_000


class AmdProbe:
    """Reads /sys below `root`; `wanted` is `HIP_VISIBLE_DEVICES` and `market_names` names cards by slot."""

    def __init__(
        self, root: Path = Path("/"), wanted: str | None = None, market_names: dict[str, str] | None = None
    ) -> None:
        self._cards_folder = root / "sys/class/drm"
        self._wanted = wanted
        self._market_names = market_names or {}

    def snapshot(self) -> tuple[GpuSnapshot, ...]:
        """Return every card as it is now, in PCI order; what the kernel does not tell is None."""
        cards = sorted(
            (self._card(device) for device in self._devices()),
            key=lambda card: pci_order(card.pci_bus_id or ""),
        )
        shown = shown_devices(self._wanted, [Identity(uuid=card.uuid) for card in cards])
        return tuple(numbered(card, position, shown) for position, card in enumerate(cards))

    def _devices(self) -> list[Path]:
        try:
            folders = [path / "device" for path in self._cards_folder.iterdir()]
        except OSError:
            return []
        return [
            folder
            for folder in folders
            if re.fullmatch(r"card\d+", folder.parent.name) and _text(folder / "vendor") == VENDOR
        ]

    def _card(self, device: Path) -> GpuSnapshot:
        slot = _slot(device)
        sensors = next(iter(sorted((device / "hwmon").glob("hwmon*"))), device / "hwmon")
        total, used = _number(device / "mem_info_vram_total"), _number(device / "mem_info_vram_used")
        unique = _text(device / "unique_id")
        card = GpuSnapshot(
            index=0,
            uuid=f"GPU-{unique}" if unique else "",
            name=self._market_names.get(slot or "") or _text(device / "product_name") or _model(device),
            pci_bus_id=slot,
            memory_total_bytes=total,
            memory_used_bytes=used,
            memory_free_bytes=max(total - used, 0) if total is not None and used is not None else None,
            utilization_percent=_percent(_number(device / "gpu_busy_percent")),
            memory_utilization_percent=_percent(_number(device / "mem_busy_percent")),
            are_processes_known=False,
        )
        return _with_sensors(card, sensors)


def _with_sensors(card: GpuSnapshot, sensors: Path) -> GpuSnapshot:
    power = _number(sensors / "power1_average")
    return msgspec.structs.replace(
        card,
        temperature_c=_scaled(_number(sensors / "temp1_input"), MILLI),
        power_w=_share(power if power is not None else _number(sensors / "power1_input"), MICRO),
        power_limit_w=_share(_number(sensors / "power1_cap"), MICRO),
        fan_percent=_fan(_number(sensors / "pwm1"), _number(sensors / "pwm1_max")),
        clock_sm_mhz=_scaled(_number(sensors / "freq1_input"), HZ_IN_MHZ),
        clock_memory_mhz=_scaled(_number(sensors / "freq2_input"), HZ_IN_MHZ),
    )


def _slot(device: Path) -> str | None:
    """Return the PCI slot, such as 0000:03:00.0."""
    found = re.search(r"^PCI_SLOT_NAME=(\S+)$", _text(device / "uevent") or "", re.MULTILINE)
    return found[1] if found else None


def _model(device: Path) -> str:
    return f"AMD GPU {_text(device / 'device') or ''}".strip()


def _text(file: Path) -> str | None:
    try:
        read = file.read_text(errors="replace").strip()
    except OSError:
        return None
    return "\n".join(shown_text(line) for line in read.splitlines()) or None


def _number(file: Path) -> int | None:
    read = _text(file) or ""
    return int(read) if re.fullmatch(r"-?\d{1,19}", read) else None


def _percent(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= 100 else None


def _scaled(value: int | None, unit: int) -> int | None:
    return None if value is None else round(value / unit)


def _share(value: int | None, unit: int) -> float | None:
    return None if value is None else value / unit


def _fan(duty: int | None, most: int | None) -> int | None:
    return None if duty is None else round(100 * duty / (most or 255))
