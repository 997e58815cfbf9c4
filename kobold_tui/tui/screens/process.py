"""What is known of a process on a card, and what is asked before one of ours is ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from kobold_tui.domain.instance import Instance
from kobold_tui.domain.units import format_bytes
from kobold_tui.tui.status import state_words
from kobold_tui.tui.widgets.fit_text import safe
from kobold_tui.tui.widgets.process_rows import UNKNOWN, ProcessRow

Fact = tuple[str, str]
"""Name and value."""


class ProcessScreen(ModalScreen[bool]):
    """A window with facts; dismissed with whether the process is to end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "dismiss(False)", "Close", id="process.close", tooltip="Close the window"),
        Binding("x,delete", "end", "End process", id="process.end", tooltip="End it, after a question"),
    ]
    DEFAULT_CSS = """
    ProcessScreen { align: center middle; }
    ProcessScreen > Vertical { width: 76; max-width: 94%; height: auto; max-height: 90%; padding: 1 2; }
    ProcessScreen Static { height: auto; }
    ProcessScreen .process-note { margin-top: 1; }
    """

    def __init__(self, row: ProcessRow, instances: Sequence[Instance], refusal: str | None) -> None:
        super().__init__()
        self._row = row
        self._instances = tuple(instances)
        self._refusal = refusal

    def compose(self) -> ComposeResult:
        """Lay out the facts above the note."""
        facts = list(process_facts(self._row, self._instances))
        wide = max(len(name) for name, _ in facts)
        with Vertical() as window:
            window.border_title = safe(self._row.name)
            window.border_subtitle = "Esc closes" if self._refusal else "x ends it · Esc closes"
            yield Static("\n".join(f"{name:<{wide}}   {safe(value)}" for name, value in facts), markup=False)
            yield Static(self._refusal or "It is one of our models.", classes="process-note", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible."""
        return self._refusal is None if action == "end" else True

    def action_end(self) -> None:
        """Go on to the question."""
        self.dismiss(True)


def end_question(row: ProcessRow) -> tuple[str, ...]:
    """Return what ending a process means, line by line."""
    process = row.process
    held = "Its memory" if process.memory_bytes is None else format_bytes(process.memory_bytes)
    where = "of RAM" if row.place == "RAM" else f"of GPU {row.place}"
    return (
        f"{row.name} (pid {process.pid}) is unloaded, and answers that are under way stop.",
        f"{held} {where} become free, with whatever else it holds.",
    )


def process_facts(row: ProcessRow, instances: Sequence[Instance]) -> Iterator[Fact]:
    """Return what is known of a process; what is not is n/a."""
    process = row.process
    yield "process", str(process.pid) if process.pid else UNKNOWN
    yield "program", process.name or UNKNOWN
    yield "user", process.user or UNKNOWN
    yield "place", "RAM" if row.place == "RAM" else f"GPU {row.place}"
    yield "memory", UNKNOWN if process.memory_bytes is None else format_bytes(process.memory_bytes)
    load = process.utilization_percent
    yield "load", UNKNOWN if load is None else f"{load} %"
    yield "number", "in our list of processes" if process.is_verified else "the driver's; unknown to us"
    instance = next((each for each in instances if each.id == process.instance), None)
    if instance is None:
        return
    _, _, words = state_words(instance.state)
    yield "model", instance.spec.path
    yield "state", words
    yield "served", f"{instance.tokens_served} tokens, {instance.active} requests now"
    if instance.loaded_at is not None:
        yield "loaded", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(instance.loaded_at))
