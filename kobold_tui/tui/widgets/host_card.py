"""The machine in the gauge: RAM, swap and processor, in a form that goes with the cards above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kobold_tui.domain.gpu import HostSnapshot, Telemetry
from kobold_tui.domain.units import format_age
from kobold_tui.tui.widgets import gpu_figures as figures
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line, restyled, two_ends
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.gpu_box import (
    EDGE,
    FIGURES,
    LABEL,
    LINE_FIGURES,
    bar_columns,
    bottom,
    graphs,
    indented,
    inside,
    legend,
    line_columns,
    top,
)
from kobold_tui.tui.widgets.gpu_memory import host_segments, memory_bar, share_bar
from kobold_tui.tui.widgets.vram_bar import InstanceKind, Segment

MachineForm = Literal["full", "box", "line"]
"""Box with history, where there are no cards; box; one line."""


@dataclass(frozen=True, kw_only=True)
class HostView:
    """The machine and what the gauge knows about it besides its own figures; see `CardView`."""

    telemetry: Telemetry
    kinds: Mapping[str, InstanceKind] = field(default_factory=dict)
    predicted_bytes: int = 0
    history: tuple[Line, ...] = ()
    age_seconds: float | None = None

    @property
    def host(self) -> HostSnapshot:
        """Its own figures."""
        return self.telemetry.host

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Whose memory it holds."""
        return host_segments(self.telemetry, self.kinds, self.predicted_bytes)


def host_height(form: MachineForm, graph_height: int) -> int:
    """Return how many lines the machine takes in a form."""
    return {"full": 6 + graph_height, "box": 5, "line": 1}[form]


def host_lines(
    view: HostView, form: MachineForm, width: int, *, graph_height: int, in_list: bool = False
) -> list[Line]:
    """Return the machine as lines of `width` columns; `in_list` is below cards that take one line each."""
    if form == "line":
        room = width - 2 * EDGE
        line = indented(_listed(view, room) if in_list else _single(view, room))
        return [line if view.age_seconds is None else restyled(line, "stale")]
    room = width - 2 * EDGE
    rows = [_memory_row(view, room), _load_row(view, room), _last_row(view, room)]
    if form == "full":
        rows += view.history or graphs((), (), room, graph_height)
    boxed = [*(inside(row) for row in rows), bottom(width)]
    if view.age_seconds is not None:
        boxed = [restyled(line, "stale") for line in boxed]
    return [top((("This machine", "title"),), _state(view), width), *boxed]


def _state(view: HostView) -> tuple[Cell, ...]:
    if view.age_seconds is None:
        return (("RAM and processor ", "quiet"),)
    return ((f"no answer for {format_age(view.age_seconds)} ", "warn"),)


def _memory_row(view: HostView, width: int) -> Line:
    host = view.host
    bar, end = bar_columns(width)
    cells = memory_bar(view.segments, host.memory_total_bytes, end - bar)
    value = figures.memory_cell(host.memory_used_bytes, host.memory_total_bytes, FIGURES)
    return fit_line(((fit("RAM", LABEL), "quiet"), *cells, value), width)


def _load_row(view: HostView, width: int) -> Line:
    percent = view.host.cpu_percent
    bar, end = bar_columns(width)
    cells = share_bar(None if percent is None else percent / 100, end - bar, "load")
    return fit_line(((fit("CPU", LABEL), "quiet"), *cells, figures.load_cell(percent, FIGURES)), width)


def _last_row(view: HostView, width: int) -> Line:
    swap = f"  {_swap(view.host)}"
    left = legend(view.segments, view.host.memory_available_bytes, width - len(swap))
    return two_ends(left, ((swap, "quiet"),), width)


def _swap(host: HostSnapshot) -> str:
    if not host.swap_total_bytes:
        return "no swap"
    return f"swap {figures.memory_text(host.swap_used_bytes, host.swap_total_bytes)}"


def _listed(view: HostView, width: int) -> Line:
    """Return RAM and the processor's load in the columns of a list of cards."""
    host = view.host
    bar, end = line_columns(width)
    cells = memory_bar(view.segments, host.memory_total_bytes, end - bar)
    memory = figures.memory_text(host.memory_used_bytes, host.memory_total_bytes, unit="", gap="")
    _, look = figures.memory_cell(host.memory_used_bytes, host.memory_total_bytes, 0)
    right: tuple[Cell, ...] = ((fit_right(memory, 13), look), figures.load_cell(host.cpu_percent, 8))
    if view.age_seconds is not None:
        right = ((fit_right(f"no answer for {format_age(view.age_seconds)}", LINE_FIGURES), "warn"),)
    return fit_line(((fit("RAM, CPU", bar), "quiet"), *cells, *right), width)


def _single(view: HostView, width: int) -> Line:
    """Return RAM as a bar and the processor's load, in the columns of the cards."""
    host = view.host
    bar, end = bar_columns(width)
    memory = figures.memory_text(host.memory_used_bytes, host.memory_total_bytes)
    _, look = figures.memory_cell(host.memory_used_bytes, host.memory_total_bytes, 0)
    cells = memory_bar(view.segments, host.memory_total_bytes, end - bar)
    load, _ = figures.load_cell(host.cpu_percent, 5)
    right: tuple[Cell, ...] = ((f"   CPU{load}", "text"), (fit_right(memory, FIGURES - 11), look))
    if view.age_seconds is not None:
        right = ((fit_right(f"no answer for {format_age(view.age_seconds)}", FIGURES), "warn"),)
    return fit_line(((fit("RAM", LABEL), "quiet"), *cells, *right), width)
