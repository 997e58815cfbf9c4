"""Market names of AMD cards from AMD's own library, where installed; the kernel's files have the rest."""

from __future__ import annotations

import importlib
from typing import Any

from kobold_tui.hardware.fields import text


def market_names(module: str = "amdsmi") -> dict[str, str]:
    """Return names such as "AMD Instinct MI300X" by PCI slot; empty without the library."""
    try:
        library: Any = importlib.import_module(module)
        library.amdsmi_init()
    except Exception:  # noqa: BLE001 - the library is a convenience; it also fails where there is no card
        return {}
    try:
        cards = library.amdsmi_get_processor_handles()
        named = {text(library.amdsmi_get_gpu_device_bdf(card)): _name(library, card) for card in cards}
    except Exception:  # noqa: BLE001 - as above
        return {}
    finally:
        _shut_down(library)
    return {slot.lower(): name for slot, name in named.items() if slot and name}


def _name(library: Any, card: Any) -> str | None:
    return text(library.amdsmi_get_gpu_asic_info(card).get("market_name"))


def _shut_down(library: Any) -> None:
    try:
        library.amdsmi_shut_down()
    except Exception:  # noqa: BLE001 - nothing is left to do
        return
