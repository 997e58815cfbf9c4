"""NVML from one opening to the next: its cards in PCI order, their numbers, and rounds of questions."""

from __future__ import annotations

from typing import Any

import msgspec

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.hardware.fields import text
from kobold_tui.hardware.nvml_card import Card
from kobold_tui.hardware.nvml_questions import Questions
from kobold_tui.hardware.visible_devices import numbered, pci_order, shown_devices

NO_ACCESS = "The driver gives no access to this card."


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A card that does not answer: its names with its present number, and why in the driver's words."""

    blank: GpuSnapshot
    fault: str


class Opening:
    """An open NVML; `devices` are the cards that the kernel's driver had then, by their slots."""

    def __init__(self, bindings: Any, devices: frozenset[str]) -> None:
        questions = Questions(bindings)
        self.devices = devices
        self.count: int | None = questions.ask("nvmlDeviceGetCount")
        self.driver = text(questions.ask("nvmlSystemGetDriverVersion"))
        cuda = questions.ask("nvmlSystemGetCudaDriverVersion_v2")
        self.cuda_version = f"{cuda // 1000}.{cuda % 1000 // 10}" if isinstance(cuda, int) else None
        self.fault = questions.fault
        self.unreachable: list[Lost] = []
        self._rounds = 0
        cards = [card for number in range(self.count or 0) if (card := self._card(bindings, number))]
        self._cards = sorted(cards, key=lambda card: pci_order(card.pci_bus_id or ""))

    def read(self, wanted: str | None) -> tuple[list[GpuSnapshot], list[Lost]]:
        """Return the cards that answer and those that do not; `wanted` is `CUDA_VISIBLE_DEVICES`.

        The first round is slow for every card, each later one for one card in turn.
        """
        turn, is_first = self._rounds % max(len(self._cards), 1), self._rounds == 0
        self._rounds += 1
        read = [card.read(slowly=is_first or turn == i) for i, card in enumerate(self._cards)]
        shown = shown_devices(wanted, [card.identity for card in self._cards])
        fresh: list[GpuSnapshot] = []
        lost: list[Lost] = []
        for position, (card, figures) in enumerate(zip(self._cards, read, strict=True)):
            if card.fault is None:
                fresh.append(numbered(figures, position, shown))
            else:
                lost.append(Lost(blank=numbered(card.blank(), position, shown), fault=card.fault))
        return fresh, lost

    def _card(self, bindings: Any, number: int) -> Card | None:
        questions = Questions(bindings)
        handle = questions.ask("nvmlDeviceGetHandleByIndex", number)
        if handle is not None:
            return Card(bindings, number, handle)
        blank = GpuSnapshot(index=number, uuid="", name="NVIDIA GPU", is_visible=False)
        self.unreachable.append(Lost(blank=blank, fault=questions.fault or NO_ACCESS))
        return None
