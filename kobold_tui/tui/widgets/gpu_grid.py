"""The page of the gauge as lines: all cards by their plan, then the machine; pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kobold_tui.domain.gpu import GpuPoint, HostPoint, Telemetry
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.tui.widgets.cells import Cell, Line, two_ends
from kobold_tui.tui.widgets.fit_text import safe
from kobold_tui.tui.widgets.gpu_box import EDGE, graph_columns, graphs
from kobold_tui.tui.widgets.gpu_card import CardView, card_cuts, card_lines, list_head
from kobold_tui.tui.widgets.gpu_memory import instance_names, kinds_of, predicted_bytes
from kobold_tui.tui.widgets.gpu_plan import GAP, Plan, notice_lines
from kobold_tui.tui.widgets.history_graph import Share, points
from kobold_tui.tui.widgets.host_card import HostView, host_lines

MACHINE = -1
Graphs = Mapping[int, tuple[Line, ...]]
"""The lines of histories by the place of the card on the page, and under `MACHINE`."""


@dataclass(frozen=True, kw_only=True)
class GaugeView:
    """Everything that the page shows; `now` is in the clock of the telemetry."""

    telemetry: Telemetry
    now: float
    interval_seconds: float = 1.0
    estimate: MemoryEstimate | None = None
    histories: Mapping[str, tuple[GpuPoint, ...]] = field(default_factory=dict)
    host_history: tuple[HostPoint, ...] = ()
    host_age_seconds: float | None = None


def page_lines(view: GaugeView, plan: Plan, width: int, drawn: Graphs) -> list[Line]:
    """Return the page as lines of `width` columns; `drawn` are its graphs, see `graphs_of`."""
    lines = [_top(view, width)]
    if plan.form == "line" and view.telemetry.gpus:
        lines.append(_beside([list_head(each) for each in plan.column_widths(width)]))
    lines += _card_rows(card_views(view, drawn), plan, width)
    lines += notice_lines(view.telemetry, width)
    machine = host_view(view, drawn.get(MACHINE, ()))
    in_list = plan.form == "line" and bool(view.telemetry.gpus)
    lines += host_lines(machine, plan.machine, width, graph_height=plan.graph_height, in_list=in_list)
    blank: Line = ((" " * width, "text"),)
    return [*lines, *[blank] * (plan.height - len(lines))]


def page_cuts(plan: Plan, width: int) -> list[int]:
    """Return the columns where slices of the page begin; see `CellCanvas`."""
    cuts, start = [], 0
    for each in plan.column_widths(width):
        cuts += [start, *(start + cut for cut in card_cuts(plan.form, each))]
        start += each + GAP
    return cuts


def card_views(view: GaugeView, drawn: Graphs | None = None) -> list[CardView]:
    """Return the cards with what the gauge knows of them besides their own figures."""
    telemetry = view.telemetry
    kinds = kinds_of(instance_names(telemetry))
    predicted = predicted_bytes(view.estimate, telemetry.gpus)
    return [
        CardView(
            gpu=gpu,
            kinds=kinds,
            predicted_bytes=predicted.get(gpu.key, 0),
            history=(drawn or {}).get(place, ()),
            age_seconds=None if gpu.stale_since is None else view.now - gpu.stale_since,
        )
        for place, gpu in enumerate(telemetry.gpus)
    ]


def host_view(view: GaugeView, history: tuple[Line, ...] = ()) -> HostView:
    """Return the machine with what the gauge knows of it besides its own figures."""
    telemetry = view.telemetry
    return HostView(
        telemetry=telemetry,
        kinds=kinds_of(instance_names(telemetry)),
        predicted_bytes=predicted_bytes(view.estimate, telemetry.gpus).get("", 0),
        history=history,
        age_seconds=view.host_age_seconds,
    )


def graphs_of(view: GaugeView, plan: Plan, width: int) -> Graphs:
    """Return the histories as lines; they change only when a cell of time is over."""
    found: dict[int, tuple[Line, ...]] = {}
    if plan.form == "full":
        widths = itertools.cycle(plan.column_widths(width))
        for place, (gpu, each) in enumerate(zip(view.telemetry.gpus, widths, strict=False)):
            samples = [
                (point.taken_at, point.utilization_percent, point.memory_used_bytes)
                for point in view.histories.get(gpu.key, ())
            ]
            found[place] = _graph(samples, gpu.memory_total_bytes, view.now, each, plan.graph_height)
    if plan.machine == "full":
        of_host = [(one.taken_at, one.cpu_percent, one.memory_used_bytes) for one in view.host_history]
        total = view.telemetry.host.memory_total_bytes
        found[MACHINE] = _graph(of_host, total, view.now, width, plan.graph_height)
    return found


def _graph(
    samples: Sequence[tuple[float, float | None, int | None]],
    total_bytes: int | None,
    now: float,
    width: int,
    height: int,
) -> tuple[Line, ...]:
    columns = graph_columns(width)
    loads = points([(time, _share(load, 100)) for time, load, _ in samples], now, columns)
    memory = points([(time, _share(used, total_bytes)) for time, _, used in samples], now, columns)
    return tuple(graphs(loads, memory, width - 2 * EDGE, height))


def _share(value: float | None, whole: float | None) -> Share:
    return value / whole if value is not None and whole else None


def _top(view: GaugeView, width: int) -> Line:
    telemetry = view.telemetry
    count = len(telemetry.gpus)
    facts = [f"{count} GPU{'s' if count != 1 else ''}"] if count else ["no GPU"]
    if telemetry.driver:
        facts.append(f"driver {safe(telemetry.driver)}")
    if telemetry.cuda_version:
        facts.append(f"CUDA {safe(telemetry.cuda_version)}")
    every = f"every {view.interval_seconds:g} s "
    return two_ends(((f" {' · '.join(facts)}", "quiet"),), ((every, "quiet"),), width)


def _card_rows(views: Sequence[CardView], plan: Plan, width: int) -> list[Line]:
    widths = plan.column_widths(width)
    lines: list[Line] = []
    for first in range(0, len(views), plan.columns):
        cards = [
            card_lines(card, plan.form, each, plan.graph_height)
            for card, each in zip(views[first : first + plan.columns], widths, strict=False)
        ]
        blanks: list[Line] = [((" " * each, "text"),) for each in widths]
        for row in range(max(map(len, cards))):
            shown = [
                card[row] if row < len(card) else blank for card, blank in zip(cards, blanks, strict=False)
            ]
            lines.append(_beside([*shown, *blanks[len(cards) :]]))
    return lines


def _beside(parts: Sequence[Line]) -> Line:
    gap: Cell = (" " * GAP, "text")
    cells = [cell for part in parts for cell in (*part, gap)]
    return tuple(cells[:-1])
