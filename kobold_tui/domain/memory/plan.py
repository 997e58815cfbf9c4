"""A load as far as it is decided before any memory is counted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory.assignment import Assignment, assign, chosen_cards
from kobold_tui.domain.memory.context import ContextSizes, context_sizes
from kobold_tui.domain.memory.estimate import Device
from kobold_tui.domain.memory.shape import ModelShape


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A load as far as it is decided: the cards in use, who holds which layers, the sizes of the context."""

    options: LoadOptions
    cards: tuple[Device, ...]
    chosen: tuple[int, ...]
    assignment: Assignment
    sizes: ContextSizes

    @property
    def used(self) -> tuple[Device, ...]:
        """The cards that the load uses, in the order in which they are filled."""
        return tuple(self.cards[index] for index in self.chosen)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cards in use."""
        return tuple(self.cards[index].name for index in self.chosen)

    @property
    def is_pipelined(self) -> bool:
        """Whether several cards work on different tokens at once, which multiplies what goes in.

        Source: `pipeline_parallel` in llama_context's constructor (llama-context.cpp).
        """
        options = self.options
        return (
            len(self.chosen) > 1
            and self.assignment.starts[0] == 0
            and options.split_mode == "layer"
            and options.offload_kqv
            and not options.n_cpu_moe
            and not options.override_tensors
        )


def plan_of(
    shape: ModelShape, options: LoadOptions, devices: Sequence[Device], *, embedding: bool = False
) -> Plan:
    """Decide everything that llama.cpp decides before it allocates."""
    cards = tuple(device for device in devices if not device.is_host)
    chosen = tuple(chosen_cards(options, cards))
    used = [cards[index] for index in chosen]
    return Plan(
        options=options,
        cards=cards,
        chosen=chosen,
        assignment=assign(shape.n_units, options, used),
        sizes=context_sizes(shape, options, embedding=embedding, has_cards=bool(used)),
    )
