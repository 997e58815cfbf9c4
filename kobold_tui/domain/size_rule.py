"""Whether a model of a given size will run here: a rule of thumb that needs nothing but sizes.

It stands in where the header is not at hand, as for a file that is not downloaded yet.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from kobold_tui.domain.gpu import GpuSnapshot, Telemetry

SizeVerdict = Literal["gpu", "partly", "cpu", "no"]
"""All of it in VRAM; some of it; all of it in RAM; nowhere."""

OVERHEAD = 1.15
"""What a model takes beside its weights with a context of usual length: KV cache and compute buffers."""

LEAST_SHARE = 0.1
"""A smaller part of the model in VRAM than this speeds up nothing that a person would notice."""


class FreeMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a new model could take: of all cards together, and of RAM."""

    vram_bytes: int
    ram_bytes: int


def judge_size(size_bytes: int, free: FreeMemory) -> SizeVerdict:
    """Return where a model with `size_bytes` of weights would fit into what is free."""
    need = size_bytes * OVERHEAD
    if need <= free.vram_bytes:
        return "gpu"
    if free.vram_bytes >= need * LEAST_SHARE and need <= free.vram_bytes + free.ram_bytes:
        return "partly"
    return "cpu" if need <= free.ram_bytes else "no"


def free_memory(telemetry: Telemetry) -> FreeMemory:
    """Return what is free on the cards that we may use, and on the host."""
    return FreeMemory(
        vram_bytes=sum(_free_of(gpu) for gpu in telemetry.gpus if gpu.is_visible),
        ram_bytes=telemetry.host.memory_available_bytes,
    )


def _free_of(gpu: GpuSnapshot) -> int:
    if gpu.mig_enabled:
        return sum(part.memory_free_bytes or 0 for part in gpu.mig_instances if part.is_visible)
    return gpu.memory_free_bytes or 0
