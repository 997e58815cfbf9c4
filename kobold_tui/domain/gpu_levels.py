"""When a figure of the gauge turns yellow or red; the one place with these thresholds.

* Memory: nearly full is ordinary for a machine that serves models, so it warns late: from 90 % of a card, and
  is critical from 97 %, where a context that grows or another program's window is refused.
* Load: what cards are bought for. Below 10 % a card counts as idle, from 75 % as busy; nothing is critical.
  Both borders are nvitop's (`nvitop/tui/library/device.py`, thresholds of GPU utilisation).
* Temperature: data-centre and desktop cards begin to slow themselves down between 83 and 93 °C. From 75 °C on
  it is warm, from 85 °C critical.
* Power: from 95 % of the limit the limit decides about the speed. That is worth knowing and harms nothing.
"""

from __future__ import annotations

from typing import Literal

Level = Literal["unknown", "idle", "normal", "warm", "critical"]

MEMORY_WARM, MEMORY_CRITICAL = 0.90, 0.97
LOAD_BUSY, LOAD_IDLE = 75, 10
TEMPERATURE_WARM_C, TEMPERATURE_CRITICAL_C = 75, 85
POWER_WARM = 0.95


def memory_level(used_bytes: int | None, total_bytes: int | None) -> Level:
    """Return how full a memory is."""
    if used_bytes is None or not total_bytes:
        return "unknown"
    share = used_bytes / total_bytes
    return "critical" if share >= MEMORY_CRITICAL else "warm" if share >= MEMORY_WARM else "normal"


def load_level(percent: float | None) -> Level:
    """Return how busy a card or the processor is."""
    if percent is None:
        return "unknown"
    return "idle" if percent < LOAD_IDLE else "warm" if percent >= LOAD_BUSY else "normal"


def temperature_level(degrees_c: int | None) -> Level:
    """Return how hot a card is."""
    if degrees_c is None:
        return "unknown"
    if degrees_c >= TEMPERATURE_CRITICAL_C:
        return "critical"
    return "warm" if degrees_c >= TEMPERATURE_WARM_C else "normal"


def power_level(power_w: float | None, limit_w: float | None) -> Level:
    """Return whether the power limit holds a card back; without a limit nothing does."""
    if power_w is None:
        return "unknown"
    return "warm" if limit_w and power_w >= limit_w * POWER_WARM else "normal"
