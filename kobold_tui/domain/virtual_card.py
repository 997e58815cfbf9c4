"""Cards that exist on paper only, and whether exact memory figures can be had at all.

A dry run places a model on virtual cards as llama.cpp's CUDA code would on real ones, so that any number
and size of cards can be planned for on any machine.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.units import parse_bytes

MAX_CARDS = 15
"""As many as ggml's scheduler takes beside the CPU (`GGML_SCHED_MAX_BACKENDS` in ggml-backend.cpp)."""


class VirtualCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card to plan for; `name` is repeated in the result and need not be unique.

    `total_bytes` is 0 where only the free memory is known; it then counts as the total.
    """

    name: str
    free_bytes: Annotated[int, Meta(ge=0)]
    total_bytes: Annotated[int, Meta(ge=0)] = 0


class PlannerCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run of this llama.cpp build can tell, found out by a self-test.

    Without `breakdown` the figures of real devices come from the log and are rounded; `virtual_cards` is
    whether cards that do not exist can be planned for; `reason` says in words what is missing and why.
    """

    breakdown: bool
    virtual_cards: bool
    reason: str = ""

    @property
    def exact(self) -> bool:
        """Whether everything works."""
        return self.breakdown and self.virtual_cards


def parse_cards(text: str) -> tuple[VirtualCard, ...]:
    """Read `24G,24G` as cards called CUDA0, CUDA1 and so on, with all of that memory free.

    Raises UsageError for what is no list of sizes.
    """
    sizes = [parse_bytes(size) for size in text.split(",")]
    if len(sizes) > MAX_CARDS:
        raise UsageError(
            "Too many cards", f"{len(sizes)} cards are named; {MAX_CARDS} are possible.", "Name fewer."
        )
    return tuple(
        VirtualCard(name=f"CUDA{index}", free_bytes=size, total_bytes=size)
        for index, size in enumerate(sizes)
    )
