"""A model that was read for planning, and devices as plans and dry runs see them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import (
    HOST_NAME,
    ComputeLevels,
    Device,
    ExtraFiles,
    MemoryEstimate,
    ModelShape,
    predict,
)
from kobold_tui.domain.virtual_card import VirtualCard, parse_cards

Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds: what tells one version of a file from another."""


class TuningModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was read for planning; `estimate` is arithmetic and takes a fraction of a millisecond.

    `stamp` is None where the file could not be looked at; then nothing is remembered of it.
    """

    spec: LoadSpec
    shape: ModelShape
    files: ExtraFiles = ExtraFiles()
    stamp: Stamp | None = None

    def estimate(
        self, options: LoadOptions, devices: Sequence[Device], levels: ComputeLevels | None = None
    ) -> MemoryEstimate:
        """Return what loading with these options would take from these devices."""
        return predict(
            self.shape,
            options,
            devices,
            levels=levels,
            files=self.files,
            embedding=self.spec.embedding,
        )


def extra_files(options: LoadOptions) -> ExtraFiles:
    """Return the sizes of projector and adapters; a file that is missing counts nothing. May block."""
    return ExtraFiles(
        projector_bytes=_size(options.mmproj) if options.mmproj else 0,
        adapters_bytes=sum(_size(adapter.path) for adapter in options.lora),
    )


def file_stamp(path: Path) -> Stamp | None:
    """Return what tells this version of a file from another, None where there is none. May block."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def hardware_from_text(
    text: str, host: Device | None = None, *, reserve_bytes: int = 0
) -> tuple[Device, ...]:
    """Read `24G,24G` as cards to plan for, all of that memory free, beside the RAM of `host`.

    Without a host nobody knows how much RAM there is. `none` is a machine without cards. Raises UsageError.
    """
    ram = host or Device(name=HOST_NAME, free_bytes=None, is_host=True, backend="CPU")
    if text.strip().lower() == "none":
        return (ram,)
    cards = parse_cards(text)
    if any(not card.free_bytes for card in cards):
        raise UsageError(
            "A card without memory", f"{text!r} names a card of 0 bytes.", "Such as 24G,24G; or none."
        )
    return (
        ram,
        *(
            Device(
                name=card.name,
                free_bytes=card.free_bytes,
                total_bytes=card.total_bytes,
                reserve_bytes=reserve_bytes,
            )
            for card in cards
        ),
    )


def limited(devices: Sequence[Device], limit_bytes: int | None) -> tuple[Device, ...]:
    """Return the devices with at most `limit_bytes` of each card for the model; None is no limit."""
    if limit_bytes is None:
        return tuple(devices)
    return tuple(
        device if device.is_host else _with_free(device, limit_bytes + device.reserve_bytes)
        for device in devices
    )


def _with_free(device: Device, most: int) -> Device:
    free = most if device.free_bytes is None else min(device.free_bytes, most)
    return msgspec.structs.replace(device, free_bytes=free)


def virtual_cards(devices: Sequence[Device]) -> tuple[VirtualCard, ...]:
    """Return cards to plan for that are like the cards among `devices`."""
    return tuple(
        VirtualCard(name=device.name, free_bytes=device.free_bytes or 0, total_bytes=device.total_bytes or 0)
        for device in devices
        if not device.is_host
    )


def with_predicted(exact: MemoryEstimate, predicted: MemoryEstimate) -> MemoryEstimate:
    """Return a dry run's figures with what it does not count: overhead, other files, free memory."""
    known = {device.name: device for device in predicted.devices}
    rows = (
        msgspec.structs.replace(
            row,
            free_bytes=device.free_bytes,
            overhead_bytes=device.overhead_bytes,
            projector_bytes=device.projector_bytes,
            adapters_bytes=device.adapters_bytes,
            reserve_bytes=device.reserve_bytes,
            capacity_bytes=device.capacity_bytes,
        )
        if (device := known.get(row.name))
        else row
        for row in exact.devices
    )
    notes = predicted.notes if predicted.is_supported else ()
    return msgspec.structs.replace(exact, devices=tuple(rows), notes=exact.notes or notes)


def _size(path: str) -> int:
    try:
        return Path(path).expanduser().stat().st_size
    except (OSError, ValueError):
        return 0
