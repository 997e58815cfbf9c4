"""Which cards CUDA shows to llama.cpp, and in which order: the meaning of `CUDA_VISIBLE_DEVICES`.

Pure functions over the cards in PCI order, because workers run with `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
Source of the rules: CUDA C++ Programming Guide, "CUDA Environment Variables"; MIG User Guide, "Device
Enumeration".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kobold_tui.domain.gpu import GpuSnapshot


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The names of a card and, in MIG mode, of its slices."""

    uuid: str
    slices: tuple[str, ...] = ()


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A device of llama.cpp's list: the position of its card, and the one slice where one was named."""

    position: int
    slice_uuid: str | None = None


def shown_devices(wanted: str | None, cards: Sequence[Identity]) -> tuple[Shown, ...]:
    """Return the devices in llama.cpp's order; `wanted` is the variable, None where it is not set.

    Numbers count from 0; UUIDs may be cut short while they stay unique. The list ends at the first entry
    that names nothing (`-1` is the common one); a device that is named twice makes all of them invisible.
    """
    if wanted is None:
        return tuple(Shown(position=position) for position in range(len(cards)))
    shown: list[Shown] = []
    for entry in wanted.split(","):
        found = _find(entry.strip(), cards)
        if found is None:
            break
        if found in shown:
            return ()
        shown.append(found)
    return tuple(shown)


def numbered(card: GpuSnapshot, position: int, shown: tuple[Shown, ...]) -> GpuSnapshot:
    """Return `card`, the one at `position` in PCI order, with its number in llama.cpp's list."""
    places = [place for place, device in enumerate(shown) if device.position == position]
    if not places:
        return msgspec.structs.replace(card, index=position, is_visible=False)
    named = {shown[place].slice_uuid for place in places} - {None}
    slices = tuple(
        msgspec.structs.replace(found, is_visible=not named or found.uuid in named)
        for found in card.mig_instances
    )
    return msgspec.structs.replace(card, index=places[0], mig_instances=slices)


def pci_order(bus_id: str) -> tuple[int, ...]:
    """Return the sort key of a bus id such as `00000000:3B:00.0`; those without one come last."""
    try:
        return tuple(int(part, 16) for part in bus_id.replace(".", ":").split(":"))
    except ValueError:
        return (2**32,)


def _find(entry: str, cards: Sequence[Identity]) -> Shown | None:
    if entry.isdecimal():
        return Shown(position=int(entry)) if int(entry) < len(cards) else None
    if entry.startswith("MIG-GPU-"):  # MIG-<UUID of the card>/<GPU instance>/<compute instance>
        entry = entry.removeprefix("MIG-").split("/")[0]
    matches = [
        *(Shown(position=i) for i, card in enumerate(cards) if _is_prefix(entry, "GPU-", card.uuid)),
        *(
            Shown(position=i, slice_uuid=uuid)
            for i, card in enumerate(cards)
            for uuid in card.slices
            if _is_prefix(entry, "MIG-", uuid)
        ),
    ]
    return matches[0] if len(matches) == 1 else None


def _is_prefix(entry: str, kind: str, uuid: str) -> bool:
    return entry.startswith(kind) and len(entry) > len(kind) and uuid.startswith(entry)
