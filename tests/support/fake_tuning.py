"""Dry runs without processes, and overheads in memory, for tests of what plans with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard

Measured = Callable[[LoadSpec, LoadOptions, tuple[VirtualCard, ...] | None], MemoryEstimate]


class FakeRunner:
    """Implements the dry runner; `measured` gives the figures, `asked` holds every request."""

    def __init__(self, measured: Measured | None = None) -> None:
        self.measured = measured or _nothing
        self.asked: list[tuple[LoadOptions, tuple[VirtualCard, ...] | None]] = []
        self.failure: EngineError | None = None
        self.can = PlannerCapabilities(breakdown=True, virtual_cards=True)
        self.closed = False

    async def measure(
        self,
        model: LoadSpec,
        options: LoadOptions | None = None,
        cards: Sequence[VirtualCard] | None = None,
        *,
        replaceable: bool = True,
    ) -> MemoryEstimate:
        chosen = options or model.options
        planned = None if cards is None else tuple(cards)
        self.asked.append((chosen, planned))
        if self.failure is not None:
            raise self.failure
        return self.measured(model, chosen, planned)

    async def capabilities(self) -> PlannerCapabilities:
        return self.can

    async def close(self) -> None:
        self.closed = True


class FakeOverheads:
    """Implements the overheads in memory."""

    def __init__(self, **known: int) -> None:
        self.known = dict(known)

    def of(self, card: str) -> int:
        return self.known.get(card, 0)

    def learn(self, card: str, n_bytes: int) -> None:
        self.known[card] = n_bytes


def _nothing(
    _model: LoadSpec, _options: LoadOptions, cards: tuple[VirtualCard, ...] | None
) -> MemoryEstimate:
    rows = [DeviceMemory(name="RAM", is_host=True), *(DeviceMemory(name=card.name) for card in cards or ())]
    return MemoryEstimate(n_gpu_layers=0, n_layer=1, devices=tuple(rows), exact=True)
