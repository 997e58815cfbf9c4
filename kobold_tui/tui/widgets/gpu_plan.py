"""How the page of the gauge is laid out: the most generous form that leaves room for the processes.

The forms are boxes with history, boxes, two lines a card, one line a card. What does not fit even then is
scrolled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kobold_tui.domain.gpu import Telemetry
from kobold_tui.tui.widgets.cells import Line, fit_line
from kobold_tui.tui.widgets.fit_text import safe
from kobold_tui.tui.widgets.gpu_box import graph_columns
from kobold_tui.tui.widgets.gpu_card import BOXED, Form, card_height
from kobold_tui.tui.widgets.history_graph import cell_number
from kobold_tui.tui.widgets.host_card import MachineForm, host_height

NARROWEST = 62
"""Columns that a card needs beside another one."""

GAP = 1
"""Blank columns between two cards."""

GRAPH_HEIGHTS = (12, 10, 8, 7, 6, 5, 4, 3)
TABLE_ROWS: dict[Form, int] = {"full": 7, "box": 5, "pair": 4, "line": 4}
"""Rows, head included, that each form leaves for processes; with tall graphs a third of the page."""


@dataclass(frozen=True)
class Plan:
    """The form of the cards, side by side in so many columns, and how many lines the page has."""

    form: Form
    columns: int
    graph_height: int
    machine: MachineForm
    height: int

    @property
    def has_graphs(self) -> bool:
        """Whether histories are shown."""
        return "full" in {self.form, self.machine}

    def column_widths(self, width: int) -> list[int]:
        """Return the widths of the columns on a page of `width` columns; the last one takes what is left."""
        each = (width - GAP * (self.columns - 1)) // self.columns
        return [each] * (self.columns - 1) + [width - (each + GAP) * (self.columns - 1)]

    def history_cell(self, now: float, width: int) -> int | None:
        """Return the number of the newest cell of the histories; None where none are shown."""
        return cell_number(now, graph_columns(self.column_widths(width)[0])) if self.has_graphs else None


def plan_for(telemetry: Telemetry, width: int, height: int) -> Plan:
    """Return the most generous plan for a page of that size, processes included."""
    for plan, below in _plans(telemetry, width, height):
        if plan.height + below <= height:
            break
    return plan


def _plans(telemetry: Telemetry, width: int, height: int) -> Iterator[tuple[Plan, int]]:
    """Yield plans, the most generous first, with the rows that each leaves for processes."""
    cards = len(telemetry.gpus)
    if not cards:
        yield from _plans_without_cards(telemetry, width, height)
        return
    slices = max(len(gpu.mig_instances) for gpu in telemetry.gpus)
    columns = max(1, min(cards, width // NARROWEST))
    rows = -(-cards // columns)
    forms: list[tuple[Form, int]] = [*(("full", lines) for lines in GRAPH_HEIGHTS), ("box", 0), ("pair", 0)]
    for form, graph_height in (*forms, ("line", 0)):
        below = max(TABLE_ROWS[form], height // 3 if graph_height > GRAPH_HEIGHTS[-1] else 0)
        machines: tuple[MachineForm, ...] = ("box", "line") if form in BOXED else ("line",)
        for machine in machines:
            page = 1 + rows * card_height(form, graph_height, slices) + host_height(machine, 0)
            more = 1 if form == "line" or (form == "full" and machine == "line") else 0
            spare = height // 3 if machine == "box" else 0
            yield Plan(form, columns, graph_height, machine, page + more), max(below, spare)


def _plans_without_cards(telemetry: Telemetry, width: int, height: int) -> Iterator[tuple[Plan, int]]:
    head = 1 + len(notice_lines(telemetry, width))
    for graph_height in GRAPH_HEIGHTS:
        yield Plan("full", 1, graph_height, "full", head + host_height("full", graph_height)), height // 3
    yield Plan("box", 1, 0, "box", head + host_height("box", 0)), TABLE_ROWS["box"]
    yield Plan("line", 1, 0, "line", head + 1), TABLE_ROWS["line"]


def notice_lines(telemetry: Telemetry, width: int) -> list[Line]:
    """Return in a few lines why there are no figures of cards."""
    if telemetry.gpus or not telemetry.notice:
        return []
    rows, row = [], ""
    for word in safe(telemetry.notice).split():
        if row and len(row) + 1 + len(word) > width - 2:
            rows.append(row)
            row = ""
        row = f"{row} {word}".strip()
    blank: Line = ((" " * width, "text"),)
    return [blank, *(fit_line(((f" {text}", "text"),), width) for text in (*rows, row)), blank]
