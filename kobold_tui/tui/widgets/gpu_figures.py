"""The figures of the gauge as cells: fixed columns, "n/a" for what nobody knows, colours by level."""

from __future__ import annotations

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.domain.gpu_levels import Level, memory_level, power_level, temperature_level
from kobold_tui.domain.units import GIB, format_gib
from kobold_tui.tui.widgets.cells import Cell
from kobold_tui.tui.widgets.fit_text import fit_right

UNKNOWN = "n/a"
LOOKS: dict[Level, str] = {
    "unknown": "quiet",
    "idle": "text",
    "normal": "text",
    "warm": "warn",
    "critical": "bad",
}


def memory_text(
    used_bytes: int | None, total_bytes: int | None, *, unit: str = " GiB", gap: str = " "
) -> str:
    """Return `45.8 / 80.0 GiB`; the half that is unknown is n/a, without both it is n/a alone."""
    if used_bytes is None and total_bytes is None:
        return UNKNOWN
    used, total = (UNKNOWN if size is None else format_gib(size) for size in (used_bytes, total_bytes))
    return f"{used}{gap}/{gap}{total}{unit}"


def memory_cell(used_bytes: int | None, total_bytes: int | None, width: int) -> Cell:
    """Return used and total memory at the right end of `width` columns."""
    level = memory_level(used_bytes, total_bytes)
    return fit_right(memory_text(used_bytes, total_bytes), width), LOOKS[level]


def load_cell(percent: float | None, width: int) -> Cell:
    """Return a load in per cent; being busy is no reason for a colour."""
    if percent is None:
        return fit_right(UNKNOWN, width), "quiet"
    return fit_right(f"{percent:.0f} %", width), "text"


def temperature_cell(degrees_c: int | None, width: int) -> Cell:
    """Return a temperature."""
    text = UNKNOWN if degrees_c is None else f"{degrees_c} °C"
    return fit_right(text, width), LOOKS[temperature_level(degrees_c)]


def power_cell(gpu: GpuSnapshot, width: int, *, with_limit: bool = True) -> Cell:
    """Return power and its limit in watts."""
    if gpu.power_w is None:
        return fit_right(UNKNOWN, width), "quiet"
    limit = "" if gpu.power_limit_w is None or not with_limit else f" / {gpu.power_limit_w:.0f}"
    return fit_right(f"{gpu.power_w:.0f}{limit} W", width), LOOKS[power_level(gpu.power_w, gpu.power_limit_w)]


def clock_text(mhz: int | None) -> str:
    """Return a clock in GHz, to ten MHz."""
    return f"clock {UNKNOWN}" if mhz is None else f"{mhz / 1000:.2f} GHz"


def coarse_gib(n_bytes: int) -> str:
    """Return a size in GiB, from ten on without decimals, for what stands in exact figures nearby."""
    size = n_bytes / GIB
    return f"{size:.1f}" if size < 9.95 else f"{size:.0f}"


def fan_text(percent: int | None) -> str:
    """Return the speed of the fan."""
    return f"fan {UNKNOWN}" if percent is None else f"fan {percent} %"


def pcie_text(gpu: GpuSnapshot) -> str:
    """Return what goes over the bus, in GiB/s; the arrows are seen from the card."""
    received, sent = gpu.pcie_rx_bytes_per_second, gpu.pcie_tx_bytes_per_second
    if received is None and sent is None:
        return f"PCIe {UNKNOWN}"
    down, up = (UNKNOWN if rate is None else f"{rate / GIB:.1f}" for rate in (received, sent))
    return f"PCIe ↓{down} ↑{up} GiB/s"


def state_text(performance_state: int | None) -> str:
    """Return NVIDIA's performance state, P0 being the fastest."""
    return f"P{performance_state}" if performance_state is not None else f"P {UNKNOWN}"
