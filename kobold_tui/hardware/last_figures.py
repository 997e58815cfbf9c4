"""The last figures of every card, for the time in which it does not answer."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from kobold_tui.domain.gpu import GpuSnapshot

FORGET_AFTER_SECONDS = 600.0
NOT_LISTED = "The driver does not list this card any more."


class LastFigures:
    """Remembers by key what each card said last, and when (monotonic seconds)."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, GpuSnapshot]] = {}

    def keep(self, now: float, card: GpuSnapshot) -> None:
        """Remember a card that has just answered."""
        self._kept[card.key] = now, card

    def of_lost(self, now: float, blank: GpuSnapshot, fault: str) -> GpuSnapshot:
        """Return the last figures of a card that is lost, under its present number.

        Where it has never answered, these are `blank` from now on.
        """
        since, card = self._kept.setdefault(blank.key, (now, blank))
        return msgspec.structs.replace(
            card, index=blank.index, is_visible=blank.is_visible, stale_since=since, fault=fault
        )

    def of_unlisted(self, listed: Collection[str]) -> tuple[GpuSnapshot, ...]:
        """Return the last figures of the cards that are not listed; llama.cpp has no place for them."""
        return tuple(
            msgspec.structs.replace(card, is_visible=False, stale_since=since, fault=NOT_LISTED)
            for key, (since, card) in self._kept.items()
            if key not in listed
        )

    def of_all(self, fault: str) -> tuple[GpuSnapshot, ...]:
        """Return the last figures of all cards while there is no driver to ask."""
        return tuple(
            msgspec.structs.replace(card, stale_since=since, fault=fault)
            for since, card in self._kept.values()
        )

    def forget(self, now: float, listed: Collection[str] = ()) -> None:
        """Forget cards that were neither listed nor heard of for ten minutes."""
        self._kept = {
            key: (since, card)
            for key, (since, card) in self._kept.items()
            if key in listed or now - since < FORGET_AFTER_SECONDS
        }
