"""One row that tells all instances apart: number, state, name, cards, bytes and speed now.

It stands there as soon as there are two; of one alone the status line tells everything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from kobold_tui.domain.instance import Failed, Instance, InstanceId, Ready, Stopped
from kobold_tui.domain.units import format_bytes, format_rate
from kobold_tui.tui.widgets.fit_text import fit, safe

Part = tuple[str, str]
"""Text and the name of the component class that colours it."""

MOST_KEYS = 9
RATE_SECONDS = 1.0
_LONGEST_NAME = 24


def instance_keys() -> tuple[Binding, ...]:
    """Return the keys that choose an instance by its number, and what is done with the one that answers."""
    numbered = (
        Binding(
            f"alt+{number}",
            f"serve({number})",
            "",
            show=False,
            id=f"instances.{number}",
            tooltip=f"Talk to instance {number}",
        )
        for number in range(1, MOST_KEYS + 1)
    )
    return (
        *numbered,
        Binding("alt+u", "unload", "", show=False, id="instances.unload", tooltip="Unload what answers"),
        Binding("alt+r", "reload", "", show=False, id="instances.restart", tooltip="Load it again"),
        Binding("alt+l", "app.go('logs')", "", show=False, id="instances.log", tooltip="Show its log"),
    )


class InstanceStrip(Widget):
    """Instances side by side; what does not fit is counted at the right edge."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "strip--here",
        "strip--name",
        "strip--quiet",
        "strip--key",
        "strip--good",
        "strip--busy",
        "strip--bad",
    }
    DEFAULT_CSS = """
    InstanceStrip { height: 1; width: 1fr; display: none; }
    InstanceStrip.-several { display: block; }
    """

    instances: reactive[tuple[Instance, ...]] = reactive(())
    instance: reactive[Instance | None] = reactive(None)

    @dataclass
    class Chosen(Message):
        """An instance was clicked, or its key pressed."""

        instance: Instance

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._rates: dict[InstanceId, float] = {}
        self._counted: dict[InstanceId, int] = {}
        self._counted_at = 0.0

    def on_mount(self) -> None:
        """Begin to measure speeds."""
        self._counted_at = time.monotonic()
        self.set_interval(RATE_SECONDS, self._measure)

    def watch_instances(self, instances: tuple[Instance, ...]) -> None:
        """Stand there while there are several."""
        self.set_class(len(instances) > 1, "-several")

    def choose(self, number: int) -> None:
        """Report the instance of a number, counted from 1."""
        if number <= len(self.instances):
            self.post_message(self.Chosen(self.instances[number - 1]))

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        """Draw the row."""
        segments = [
            Segment(text, self.get_component_rich_style(look))
            for part in shown(self._cells(), self.size.width)
            for text, look in part
        ]
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Report the instance under the pointer."""
        x = 0
        for index, cell in enumerate(self._cells()):
            x += sum(cell_len(text) for text, _ in cell)
            if event.x < x:
                self.choose(index + 1)
                return

    def _cells(self) -> list[list[Part]]:
        here = self.instance.id if self.instance is not None else None
        return [
            list(instance_parts(number, one, self._rates.get(one.id, 0.0), is_here=one.id == here))
            for number, one in enumerate(self.instances, 1)
        ]

    def _measure(self) -> None:
        now = time.monotonic()
        rates = rates_of(self._counted, self.instances, now - self._counted_at)
        self._counted = {one.id: one.tokens_served for one in self.instances}
        self._counted_at = now
        if rates != self._rates:
            self._rates = rates
            self.refresh()


def rates_of(
    before: Mapping[InstanceId, int], instances: Sequence[Instance], seconds: float
) -> dict[InstanceId, float]:
    """Return tokens a second by instance, of those that made any since `before`."""
    made = {one.id: one.tokens_served - before.get(one.id, one.tokens_served) for one in instances}
    return {name: tokens / seconds for name, tokens in made.items() if tokens > 0 and seconds > 0}


def instance_parts(number: int, instance: Instance, rate: float, *, is_here: bool) -> tuple[Part, ...]:
    """Return what is told of one instance."""
    mark, look = mark_of(instance)
    facts = [*_memory(instance)]
    if rate:
        facts.append(format_rate(rate))
    elif instance.active:
        facts.append("busy")
    name = safe(instance.id)
    name = name if cell_len(name) <= _LONGEST_NAME else fit(name, _LONGEST_NAME)
    return (
        (f" {number} " if number <= MOST_KEYS else "   ", "strip--key"),
        (f"{mark} ", look),
        (name, "strip--here" if is_here else "strip--name"),
        (f" {' '.join(facts)}  " if facts else "  ", "strip--quiet"),
    )


def mark_of(instance: Instance) -> Part:
    """Return the mark of a state, with its look."""
    if instance.is_parked:
        return "⏸", "strip--quiet"
    match instance.state:
        case Ready():
            return "●", "strip--good"
        case Failed():
            return "✗", "strip--bad"
        case Stopped():
            return "○", "strip--quiet"
    return "◐", "strip--busy"


def shown(cells: Sequence[Sequence[Part]], width: int) -> list[Sequence[Part]]:
    """Return the cells that a width has room for; how many are left out is told at the end."""
    kept: list[Sequence[Part]] = []
    left = width
    for index, cell in enumerate(cells):
        taken = sum(cell_len(text) for text, _ in cell)
        is_last = index == len(cells) - 1
        if taken > left - (0 if is_last else 4):
            return [*kept, [(f" +{len(cells) - index}", "strip--quiet")]]
        kept.append(cell)
        left -= taken
    return kept


def _memory(instance: Instance) -> tuple[str, ...]:
    """Return the places and bytes that were predicted for an instance; nothing where nobody knows."""
    estimate = instance.estimate
    if estimate is None or instance.is_parked or isinstance(instance.state, Failed | Stopped):
        return ()
    cards = [card for card in estimate.cards if card.total_bytes]
    place = "+".join(card.name.replace("CUDA", "GPU") for card in cards) or "RAM"
    return (place, format_bytes(estimate.total_bytes))
