"""One card of the gauge in four forms, from a box with its history to a single line; pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kobold_tui.domain.gpu import GpuSnapshot, MigInstance
from kobold_tui.domain.units import format_age
from kobold_tui.tui.widgets import gpu_figures as figures
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line, restyled, two_ends, width_of
from kobold_tui.tui.widgets.fit_text import fit, fit_right, safe
from kobold_tui.tui.widgets.gpu_box import (
    EDGE,
    FIGURES,
    LABEL,
    bar_columns,
    bottom,
    graphs,
    indented,
    inside,
    legend,
    line_columns,
    top,
)
from kobold_tui.tui.widgets.gpu_memory import card_segments, memory_bar, share_bar
from kobold_tui.tui.widgets.vram_bar import InstanceKind, Segment

Form = Literal["full", "box", "pair", "line"]
"""Box with history; box; two lines; one line."""

MAKER = "NVIDIA "
"""Left out of names where room is short."""

BOXED = ("full", "box")
PCIE_FROM = 108
"""Columns inside the frame from which the bus has room."""

SLICE_LABEL = 24


@dataclass(frozen=True, kw_only=True)
class CardView:
    """A card and what the gauge knows about it besides its own figures.

    `history` is drawn already, because it changes rarely; `age_seconds` is how old the figures of a card are
    that does not answer.
    """

    gpu: GpuSnapshot
    kinds: Mapping[str, InstanceKind] = field(default_factory=dict)
    predicted_bytes: int = 0
    history: tuple[Line, ...] = ()
    age_seconds: float | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Whose memory it holds."""
        return card_segments(self.gpu, self.kinds, self.predicted_bytes)

    @property
    def is_stale(self) -> bool:
        """Whether the card has stopped to answer."""
        return self.gpu.stale_since is not None


def card_height(form: Form, graph_height: int, slices: int = 0) -> int:
    """Return how many lines a card takes in a form; a slice of a card in MIG mode takes one."""
    own = {"full": 6 + graph_height, "box": 5, "pair": 2, "line": 1}[form]
    return own + slices


def card_lines(view: CardView, form: Form, width: int, graph_height: int) -> list[Line]:
    """Return a card as lines of `width` columns; one that does not answer is dimmed below its title."""
    room = width - 2 * EDGE
    if form in BOXED:
        head, rest = top(_title(view), _state(view), width), _boxed(view, form, width, graph_height)
    elif form == "pair":
        head = indented(_pair_head(view, room))
        rest = [indented(line) for line in (_memory_row(view, room, ""), *_slices(view, room))]
    else:
        head, rest = indented(_single(view, room)), [indented(line) for line in _slices(view, room)]
    return [head, *(restyled(line, "stale") if view.is_stale else line for line in rest)]


def card_cuts(form: Form, width: int) -> list[int]:
    """Return the columns where what changes begins; see `CellCanvas`."""
    room = width - 2 * EDGE
    return [EDGE + column for column in (line_columns(room) if form == "line" else bar_columns(room))]


def list_head(width: int) -> Line:
    """Return the head of a list of cards that take one line each."""
    room = width - 2 * EDGE
    bar, end = line_columns(room)
    names = fit_right("GiB", 13) + fit_right("load", 8) + fit_right("temp", 8) + fit_right("power", 8)
    return indented(fit_line(((fit("GPU", bar) + fit("memory", end - bar) + names, "quiet"),), room))


def _title(view: CardView, *, short: bool = False) -> tuple[Cell, ...]:
    gpu = view.gpu
    name = gpu.name.removeprefix(MAKER) if short else gpu.name
    number = str(gpu.index) if gpu.is_visible else f"({gpu.index})"
    looks = ("stale", "stale") if view.is_stale else ("ours", "title")
    return (f"{number}  ", looks[0]), (safe(name), looks[1])


def _state(view: CardView) -> tuple[Cell, ...]:
    """Return what is wrong with a card, else the state that it is in."""
    gpu = view.gpu
    if view.is_stale:
        return ((f"no answer for {format_age(view.age_seconds or 0)} ", "warn"),)
    if gpu.throttle_reasons:
        return ((f"slowed: {safe(', '.join(gpu.throttle_reasons))} ", "warn"),)
    if not gpu.is_visible:
        return (("hidden from our models ", "quiet"),)
    clock, fan = figures.clock_text(gpu.clock_sm_mhz), figures.fan_text(gpu.fan_percent)
    return ((f"{clock} · {fan} · {figures.state_text(gpu.performance_state)} ", "quiet"),)


def _boxed(view: CardView, form: Form, width: int, graph_height: int) -> list[Line]:
    room = width - 2 * EDGE
    rows = [_memory_row(view, room, "memory"), _load_row(view, room)]
    rows += [*_slices(view, room), _last_row(view, room)]
    if form == "full":
        rows += view.history or graphs((), (), room, graph_height)
    return [*(inside(row) for row in rows), bottom(width)]


def _memory_row(view: CardView, width: int, label: str) -> Line:
    gpu = view.gpu
    bar, end = bar_columns(width)
    cells = memory_bar(view.segments, gpu.memory_total_bytes, end - bar)
    value = figures.memory_cell(gpu.memory_used_bytes, gpu.memory_total_bytes, FIGURES)
    return _fitted(((fit(label, LABEL), "quiet"), *cells, value), width)


def _load_row(view: CardView, width: int) -> Line:
    percent = view.gpu.utilization_percent
    bar, end = bar_columns(width)
    cells = share_bar(None if percent is None else percent / 100, end - bar, "load")
    return _fitted(((fit("load", LABEL), "quiet"), *cells, *_load_figures(view.gpu)), width)


def _fitted(row: Line, width: int) -> Line:
    """Return a row of label, bar and figures, which is cut only where not even these have room."""
    return row if width >= LABEL + FIGURES else fit_line(row, width)


def _load_figures(gpu: GpuSnapshot) -> tuple[Cell, ...]:
    """Return load, temperature and power, together as wide as the block of figures."""
    return (
        figures.load_cell(gpu.utilization_percent, FIGURES - 22),
        figures.temperature_cell(gpu.temperature_c, 8),
        figures.power_cell(gpu, 14),
    )


def _last_row(view: CardView, width: int) -> Line:
    """Return whose memory it is, and what goes over the bus; of a card that is gone, why."""
    gpu = view.gpu
    if gpu.fault:
        return fit_line(((safe(gpu.fault), "stale"),), width)
    right: list[Cell] = [(f"  {figures.pcie_text(gpu)}", "quiet")] if width >= PCIE_FROM else []
    if gpu.ecc_uncorrected:
        right = [(f"  {gpu.ecc_uncorrected} ECC errors", "bad"), *right]
    free = None if gpu.mig_instances else gpu.memory_free_bytes
    return two_ends(legend(view.segments, free, width - width_of(right)), right, width)


def _slices(view: CardView, width: int) -> list[Line]:
    return [_slice(each, view, width) for each in view.gpu.mig_instances]


def _slice(each: MigInstance, view: CardView, width: int) -> Line:
    name = (each.name or "").removeprefix(view.gpu.name).strip() or "MIG"
    hidden = "" if each.is_visible else " hidden"
    room = max(0, width - SLICE_LABEL - FIGURES)
    bar = memory_bar(card_segments(each, view.kinds), each.memory_total_bytes, room)
    value = figures.memory_cell(each.memory_used_bytes, each.memory_total_bytes, FIGURES)
    label = fit(f" └ {each.index}  {name}{hidden}", SLICE_LABEL)
    return fit_line(((label, "quiet"), *bar, value), width)


def _pair_head(view: CardView, width: int) -> Line:
    gpu = view.gpu
    state = _state(view) if view.is_stale or gpu.throttle_reasons or not gpu.is_visible else ()
    right: tuple[Cell, ...] = (("  ", "text"), *state, *_load_figures(gpu))
    if view.is_stale:
        right = (("  ", "text"), *state, (safe(gpu.fault or ""), "stale"))
    return two_ends(_title(view), fit_line(right, min(width_of(right), width * 2 // 3)), width)


def _single(view: CardView, width: int) -> Line:
    gpu = view.gpu
    bar, end = line_columns(width)
    title = (*fit_line(_title(view, short=True), bar - 1), (" ", "text"))
    if view.is_stale:
        return fit_line((*title, *_state(view), (safe(gpu.fault or ""), "stale")), width)
    memory = figures.memory_text(gpu.memory_used_bytes, gpu.memory_total_bytes, unit="", gap="")
    _, look = figures.memory_cell(gpu.memory_used_bytes, gpu.memory_total_bytes, 0)
    cells = (
        *memory_bar(view.segments, gpu.memory_total_bytes, end - bar),
        (fit_right(memory, 13), look),
        figures.load_cell(gpu.utilization_percent, 8),
        figures.temperature_cell(gpu.temperature_c, 8),
        figures.power_cell(gpu, 8, with_limit=False),
    )
    return fit_line((*title, *cells), width)
