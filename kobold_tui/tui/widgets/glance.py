"""The gauge in a narrow column: one line a device, more than four cards in two columns; pure functions."""

from __future__ import annotations

from kobold_tui.domain.units import GIB, format_age
from kobold_tui.tui.widgets import gpu_figures as figures
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line, restyled
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.gpu_card import CardView
from kobold_tui.tui.widgets.gpu_grid import GaugeView, card_views, host_view
from kobold_tui.tui.widgets.gpu_memory import memory_bar, share_bar
from kobold_tui.tui.widgets.host_card import HostView

LABEL, MEMORY, LOAD = 6, 13, 6
SMALL_LABEL, SMALL_MEMORY, GAP = 3, 8, 2
MOST_LINES = 4
"""Cards that have a line of their own."""


def glance_lines(view: GaugeView, width: int, *, is_coarse: bool = False) -> list[Line]:
    """Return a line for every card (or for two), then RAM and the processor.

    Coarse is memory alone, in whole GiB: what stands beside the page that has everything.
    """
    cards = card_views(view)
    if len(cards) <= MOST_LINES:
        lines = [_card(card, width, is_coarse=is_coarse) for card in cards]
    else:
        lines = [_two(cards[first : first + 2], width) for first in range(0, len(cards), 2)]
    machine = host_view(view)
    lines.append(_ram(machine, width, is_coarse=is_coarse))
    if not is_coarse:
        lines.append(_processor(machine, width))
    return lines


def glance_cuts(view: GaugeView, width: int) -> list[int]:
    """Return the columns where slices begin; see `CellCanvas`."""
    if len(view.telemetry.gpus) > MOST_LINES:
        each = (width - GAP) // 2
        return [each - SMALL_MEMORY, each + GAP, width - SMALL_MEMORY]
    return [width - MEMORY - LOAD]


def _card(card: CardView, width: int, *, is_coarse: bool) -> Line:
    gpu = card.gpu
    label: Cell = (fit(f"GPU {gpu.index}", LABEL), "text")
    if card.is_stale:
        why = f"no answer for {format_age(card.age_seconds or 0)}"
        return fit_line((label, (why, "warn")), width)
    bar = memory_bar(card.segments, gpu.memory_total_bytes, width - LABEL - MEMORY - LOAD)
    load: Cell = ("", "text") if is_coarse else figures.load_cell(gpu.utilization_percent, LOAD)
    memory = _memory(gpu.memory_used_bytes, gpu.memory_total_bytes, is_coarse=is_coarse)
    return fit_line((label, *bar, memory, load), width)


def _memory(used: int | None, total: int | None, *, is_coarse: bool) -> Cell:
    text = figures.memory_text(used, total, unit="", gap="")
    if is_coarse and used is not None and total is not None:
        text = f"{figures.coarse_gib(used)}/{figures.coarse_gib(total)}"
    return fit_right(text, MEMORY), figures.memory_cell(used, total, 0)[1]


def _two(cards: list[CardView], width: int) -> Line:
    each = (width - GAP) // 2
    gap: Cell = (" " * GAP, "text")
    cells = [cell for card in cards for cell in (*_small(card, each), gap)]
    return fit_line(cells[:-1], width)


def _small(card: CardView, width: int) -> Line:
    gpu = card.gpu
    label: Cell = (fit(str(gpu.index), SMALL_LABEL), "text")
    if card.is_stale:
        return fit_line((label, (f"no answer {format_age(card.age_seconds or 0)}", "warn")), width)
    bar = memory_bar(card.segments, gpu.memory_total_bytes, width - SMALL_LABEL - SMALL_MEMORY)
    used, total = (
        figures.UNKNOWN if size is None else f"{size / GIB:.0f}"
        for size in (gpu.memory_used_bytes, gpu.memory_total_bytes)
    )
    return fit_line((label, *bar, (fit_right(f"{used}/{total}", SMALL_MEMORY), "text")), width)


def _ram(view: HostView, width: int, *, is_coarse: bool) -> Line:
    host = view.host
    bar = memory_bar(view.segments, host.memory_total_bytes, width - LABEL - MEMORY - LOAD)
    memory = _memory(host.memory_used_bytes, host.memory_total_bytes, is_coarse=is_coarse)
    return _dimmed(view, fit_line(((fit("RAM", LABEL), "text"), *bar, memory), width))


def _processor(view: HostView, width: int) -> Line:
    percent = view.host.cpu_percent
    share = None if percent is None else percent / 100
    bar = share_bar(share, width - LABEL - MEMORY - LOAD, "load")
    cells = ((fit("CPU", LABEL), "text"), *bar, figures.load_cell(percent, MEMORY + LOAD))
    return _dimmed(view, fit_line(cells, width))


def _dimmed(view: HostView, line: Line) -> Line:
    return line if view.age_seconds is None else restyled(line, "stale")
