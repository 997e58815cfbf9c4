"""Memory that is promised to models which are still loading, in front of what the driver reports as free.

A driver knows what is taken, not what is about to be taken. Between the decision to load and the end of the
load a reservation stands in for the memory; afterwards the driver's figure has it, and the reservation goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

HOST = "RAM"
"""The key of the machine's own memory; a card's key is its UUID."""


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes by device that `instance` of the process `owner` is about to take."""

    owner: str
    instance: str
    bytes_by_device: dict[str, int]


def promised(reservations: Iterable[Reservation]) -> dict[str, int]:
    """Return the bytes that are promised on each device."""
    sums: dict[str, int] = {}
    for reservation in reservations:
        for device, size in reservation.bytes_by_device.items():
            sums[device] = sums.get(device, 0) + max(0, size)
    return sums


def unpromised(free: Mapping[str, int], reservations: Iterable[Reservation]) -> dict[str, int]:
    """Return what of `free` is promised to nobody; never less than nothing."""
    taken = promised(reservations)
    return {device: max(0, size - taken.get(device, 0)) for device, size in free.items()}


def fits(needs: Mapping[str, int], free: Mapping[str, int], reservations: Iterable[Reservation]) -> bool:
    """Whether every device has what is needed of it; one that nobody knows counts as large enough."""
    left = unpromised(free, reservations)
    return all(size <= left[device] for device, size in needs.items() if device in left)
