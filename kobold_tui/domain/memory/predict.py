"""From a model's shape, options and devices to bytes on every device, without llama.cpp.

Weights, cache and state are what llama.cpp allocates, to the byte. The compute buffer is a formula until dry
runs have calibrated it (`ComputeLevels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory.buffers import is_known
from kobold_tui.domain.memory.cache import cache_bytes
from kobold_tui.domain.memory.compute import compute_bytes
from kobold_tui.domain.memory.estimate import HOST_NAME, Device, DeviceMemory, MemoryEstimate
from kobold_tui.domain.memory.levels import ComputeLevels
from kobold_tui.domain.memory.overrides import notes_on
from kobold_tui.domain.memory.plan import Plan, plan_of
from kobold_tui.domain.memory.shape import ModelShape
from kobold_tui.domain.memory.weights import weight_bytes

_LOGIT_BYTES = 4


class ExtraFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of the files that are loaded beside the model: its projector and its adapters."""

    projector_bytes: int = 0
    adapters_bytes: int = 0


def predict(  # noqa: PLR0913 - the facts that decide about memory
    shape: ModelShape,
    options: LoadOptions,
    devices: Sequence[Device],
    *,
    levels: ComputeLevels | None = None,
    files: ExtraFiles | None = None,
    embedding: bool = False,
) -> MemoryEstimate:
    """Return what loading would take: RAM first, then each card in order, used or not.

    `levels` are what dry runs of the same setting have told about the compute buffers, `files` the sizes of
    projector and adapters, `embedding` a load for vectors alone.
    """
    plan = plan_of(shape, options, devices, embedding=embedding)
    weights, caches = weight_bytes(shape, plan), cache_bytes(shape, plan)
    compute = _compute(shape, plan, levels)
    files = files or ExtraFiles()
    extras = _extra_bytes(shape, plan, files)
    parts = list(zip(weights, caches, compute, *extras, strict=True))
    host = next((device for device in devices if device.is_host), None)
    rows = [_host(shape, plan, host, parts[0])]
    by_card = dict(zip(plan.chosen, parts[1:], strict=True))
    rows += [_memory(card, by_card.get(index, _NOTHING)) for index, card in enumerate(plan.cards)]
    return MemoryEstimate(
        n_gpu_layers=plan.assignment.n_gpu_layers,
        n_layer=shape.n_layer,
        devices=tuple(rows),
        is_supported=shape.supported,
        notes=_notes(shape, plan, files),
    )


def _compute(shape: ModelShape, plan: Plan, levels: ComputeLevels | None) -> list[int]:
    """Return the compute buffers, RAM first: known ones where dry runs have told, else by formula."""
    sizes = compute_bytes(shape, plan)
    return levels.corrected(shape, plan, sizes) if levels is not None else sizes


Parts = tuple[int, int, int, int, int]
"""Bytes of weights, cache, compute, projector and adapters."""

_NOTHING: Parts = (0, 0, 0, 0, 0)


def _memory(device: Device, parts: Parts) -> DeviceMemory:
    """Return a card's row; the overhead comes with the first buffer."""
    return DeviceMemory(
        name=device.name,
        weights_bytes=parts[0],
        kv_bytes=parts[1],
        compute_bytes=parts[2],
        overhead_bytes=device.overhead_bytes if any(parts) else 0,
        free_bytes=device.free_bytes,
        is_host=device.is_host,
        projector_bytes=parts[3],
        adapters_bytes=parts[4],
        reserve_bytes=device.reserve_bytes,
        capacity_bytes=device.total_bytes,
    )


def _host(shape: ModelShape, plan: Plan, host: Device | None, parts: Parts) -> DeviceMemory:
    """Return the row of RAM; rows of logits and of vectors are a buffer that no breakdown counts."""
    width = shape.n_vocab + shape.n_embd * plan.sizes.makes_vectors
    rows = max(plan.sizes.n_outputs, plan.sizes.n_sequences)
    device = host or Device(name=HOST_NAME, free_bytes=None, is_host=True, backend="CPU")
    row = _memory(device, parts)
    overhead = device.overhead_bytes + width * rows * _LOGIT_BYTES
    return msgspec.structs.replace(row, name=HOST_NAME, overhead_bytes=overhead)


def _extra_bytes(shape: ModelShape, plan: Plan, files: ExtraFiles) -> tuple[list[int], list[int]]:
    """Share out the files beside the model: RAM first, then each used card.

    The projector goes to the first card or to RAM, adapters to where the layers are.
    """
    n_used = len(plan.chosen)
    projectors = [0] * (n_used + 1)
    projectors[1 if plan.options.mmproj_offload and n_used else 0] = files.projector_bytes
    starts = [0, *(min(start, shape.n_layer) for start in plan.assignment.starts)]
    n_layer = max(shape.n_layer, 1)
    adapters = [files.adapters_bytes * (end - start) // n_layer for start, end in pairwise(starts)]
    return projectors, (adapters + [0] * n_used)[: n_used + 1]


def _notes(shape: ModelShape, plan: Plan, files: ExtraFiles) -> tuple[str, ...]:
    notes = []
    if not shape.supported:
        notes.append(f"{shape.unsupported_reason} A dry run tells.")
    if plan.options.split_mode == "tensor" and len(plan.chosen) > 1:
        notes.append("Split inside layers is predicted as whole layers; only the sum over all cards holds.")
    if files.projector_bytes or files.adapters_bytes:
        notes.append("Projector and adapters are counted by the sizes of their files.")
    if not all(is_known(card.backend) for card in plan.cards):
        notes.append("The alignment of this kind of card is approximate.")
    if plan.options.override_tensors:
        notes += notes_on(plan.options.override_tensors, plan.names)
    return tuple(notes)
