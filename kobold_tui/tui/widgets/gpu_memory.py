"""Whose memory a card holds: our models by name, other programs, and what is about to be loaded.

A front end reads only what the telemetry says: bytes belong to one of our models where the process was
joined to it, and to others everywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import get_args

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, MigInstance, Telemetry
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.tui.widgets.cells import Cell
from kobold_tui.tui.widgets.vram_bar import FILLS, InstanceKind, Segment, bar_cells

OTHERS, PREDICTED = "others", "predicted"
KINDS: tuple[InstanceKind, ...] = get_args(InstanceKind)
_NUMBERED = re.compile(r"(?:CUDA|ROCm|Vulkan|SYCL|MUSA|Metal)(\d+)")


def kinds_of(names: Iterable[str]) -> dict[str, InstanceKind]:
    """Return the kind of segment of every model, the same on all cards; after the fourth they repeat."""
    return {name: KINDS[place % len(KINDS)] for place, name in enumerate(dict.fromkeys(names))}


def instance_names(telemetry: Telemetry) -> list[str]:
    """Return the models that hold memory of a card or of the machine, in the order of the cards."""
    processes = [process for gpu in telemetry.gpus for process in _all_processes(gpu)]
    names = [process.instance for process in processes if process.instance]
    return list(dict.fromkeys([*names, *telemetry.workers]))


def card_segments(
    device: GpuSnapshot | MigInstance, kinds: Mapping[str, InstanceKind], predicted_bytes: int = 0
) -> tuple[Segment, ...]:
    """Return the parts of a card's or slice's used memory, ours first; nothing where it is not known."""
    used = device.memory_used_bytes
    if used is None:
        return ()
    held: dict[str, int] = {}
    for process in _all_processes(device):
        if process.instance and process.memory_bytes:
            held[process.instance] = held.get(process.instance, 0) + process.memory_bytes
    ours, left = [], used
    for name in sorted(held, key=list(kinds).index):
        ours.append(Segment(kinds[name], name, min(left, held[name])))
        left -= ours[-1].n_bytes
    others = Segment("other", OTHERS, left)
    return (*ours, others, Segment("predicted", PREDICTED, predicted_bytes))


def host_segments(
    telemetry: Telemetry, kinds: Mapping[str, InstanceKind], predicted_bytes: int = 0
) -> tuple[Segment, ...]:
    """Return the parts of the machine's used memory, our models first."""
    left, ours = telemetry.host.memory_used_bytes, []
    for name, n_bytes in telemetry.workers.items():
        ours.append(Segment(kinds.get(name, KINDS[0]), name, min(left, n_bytes)))
        left -= ours[-1].n_bytes
    return (*ours, Segment("other", OTHERS, left), Segment("predicted", PREDICTED, predicted_bytes))


def predicted_bytes(estimate: MemoryEstimate | None, gpus: Sequence[GpuSnapshot]) -> dict[str, int]:
    """Return what a model would take from each card (by `GpuSnapshot.key`), and from RAM under "".

    Devices of an estimate are llama.cpp's: one called `CUDA1` is the visible card with that number, those
    with another kind of name are matched in their order.
    """
    found: dict[str, int] = {}
    visible = sorted((gpu for gpu in gpus if gpu.is_visible), key=lambda gpu: gpu.index)
    on_cards = 0
    for device in estimate.devices if estimate else ():
        if device.is_host:
            found[""] = found.get("", 0) + device.total_bytes
            continue
        numbered = _NUMBERED.fullmatch(device.name)
        number = int(numbered[1]) if numbered else on_cards
        card = next((gpu for gpu in visible if gpu.index == number), None)
        on_cards += 1
        if card is not None:
            found[card.key] = found.get(card.key, 0) + device.total_bytes
    return found


@lru_cache(256)
def memory_bar(segments: tuple[Segment, ...], total_bytes: int | None, width: int) -> tuple[Cell, ...]:
    """Return a bar of exactly `width` cells; blank where the driver tells nothing."""
    if not total_bytes or not segments:
        return ((FILLS["free"] * width, "faint"),) if width > 0 else ()
    return tuple((text, kind) for kind, text in bar_cells(segments, total_bytes, width))


@lru_cache(256)
def share_bar(share: float | None, width: int, look: str) -> tuple[Cell, ...]:
    """Return a bar for a share of 0 to 1, drawn to an eighth of a cell."""
    if share is None:
        return ((FILLS["free"] * width, "faint"),) if width > 0 else ()
    part = Segment("model", "", round(min(max(share, 0.0), 1.0) * 1000))
    return tuple(
        (text, look if kind == "model" else "free") for kind, text in bar_cells((part,), 1000, width)
    )


def _all_processes(device: GpuSnapshot | MigInstance) -> tuple[GpuProcess, ...]:
    slices = device.mig_instances if isinstance(device, GpuSnapshot) else ()
    return tuple(
        {
            process.pid: process
            for process in (*(found for each in slices for found in each.processes), *device.processes)
        }.values()
    )
