"""The bars of the tuning pane: what each device would hold, by purpose, with words beside; pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.domain.units import format_bytes
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.vram_bar import FILLS, Segment, SegmentKind, bar_cells

NAME, FIGURES, VERDICT = 7, 20, 20
WIDE_LEGEND = 75
DETAILED_FROM = 30
"""Lines of the pane from which every device has a second line with its parts."""

PARTS: tuple[tuple[SegmentKind, str], ...] = (
    ("model", "weights"),
    ("kv", "KV"),
    ("compute", "compute"),
    ("overhead", "overhead"),
    ("other", "others"),
)
MOST_DETAILS = 4
"""Devices that are told in two lines; more of them take one each."""


def segments_of(device: DeviceMemory) -> tuple[Segment, ...]:
    """Return what a device would hold: the model by purpose, then what others hold already."""
    sizes = (
        device.weights_bytes + device.projector_bytes + device.adapters_bytes,
        device.kv_bytes,
        device.compute_bytes,
        device.overhead_bytes,
        _other(device),
    )
    return tuple(Segment(kind, label, size) for (kind, label), size in zip(PARTS, sizes, strict=True))


def board_lines(estimate: MemoryEstimate, width: int, *, detailed: bool) -> list[Line]:
    """Return the cards, then RAM, and the legend, each line `width` columns wide."""
    devices = (*estimate.cards, estimate.host)
    detailed = detailed and len(devices) <= MOST_DETAILS
    lines: list[Line] = []
    for device in devices:
        lines.append(_bar_line(device, width))
        if detailed:
            lines.append(_detail_line(device, width))
    return [*lines, _legend_line(devices, width)]


def board_cuts(width: int) -> list[int]:
    """Return the columns where what changes begins; see `CellCanvas`."""
    return [NAME, width - VERDICT - FIGURES]


def verdict_of(device: DeviceMemory) -> Cell:
    """Return in a mark and words whether a device has room."""
    spare = device.spare_bytes
    if not device.total_bytes:
        return "– not used", "quiet"
    if spare is None:
        return "? free unknown", "warn"
    if spare < 0:
        return f"✗ OVER by {format_bytes(-spare)}", "bad"
    return f"✓ {format_bytes(spare)} spare", "good"


def summary_of(estimate: MemoryEstimate) -> Cell:
    """Return in one line whether everything fits, or which devices are over."""
    if not estimate.is_supported:
        return "Architecture not known here: only a dry run can tell", "warn"
    over = [device.name for device in estimate.devices if not device.fits]
    if over:
        return f"✗ DOES NOT FIT on {', '.join(over)}", "bad"
    if not estimate.cards:
        return "✓ Fits in RAM; there is no GPU", "good"
    return "✓ Fits", "good"


def _bar_line(device: DeviceMemory, width: int) -> Line:
    segments, room = segments_of(device), width - NAME - FIGURES - VERDICT
    total = _capacity(device) or sum(part.n_bytes for part in segments)
    bar: list[tuple[str, str]] = [
        (text, kind) for kind, text in bar_cells(segments, total, room, device.reserve_bytes)
    ]
    if not device.fits:  # other processes can push the sum over a capacity that the model alone keeps
        bar = _marked_over(bar)
    free = "?" if device.free_bytes is None else format_bytes(device.free_bytes)
    words, look = verdict_of(device)
    name_look = "bad" if look == "bad" else "strong" if device.total_bytes else "quiet"
    figures = f"{format_bytes(device.total_bytes)} / {free}"
    cells = [(fit(device.name, NAME), name_look), *bar]
    cells += [
        (fit_right(figures, FIGURES), "bad" if look == "bad" else "text"),
        (fit(f" {words}", VERDICT), look),
    ]
    return fit_line(cells, width)


def _marked_over(bar: Sequence[Cell]) -> list[Cell]:
    """Return a bar whose last cell is the sign of too much."""
    *head, (text, look) = bar or [(" ", "free")]
    rest: list[Cell] = [(text[:-1], look)] if len(text) > 1 else []
    return [*head, *rest, (FILLS["over"], "over")]


def _detail_line(device: DeviceMemory, width: int) -> Line:
    cells: list[Cell] = [(" " * NAME, "quiet")]
    for segment in segments_of(device):
        if segment.n_bytes > 0:
            cells.append((f"{FILLS[segment.kind]} ", segment.kind))
            cells.append((f"{format_bytes(segment.n_bytes)}   ", "quiet"))
    return fit_line(cells, width)


def _legend_line(devices: Sequence[DeviceMemory], width: int) -> Line:
    gap = "  " if width >= WIDE_LEGEND else " "
    cells: list[Cell] = [(" " * NAME, "quiet")]
    for kind, label in PARTS:
        cells += [(f"{FILLS[kind]} ", kind), (f"{label}{gap}", "quiet")]
    cells += [(f"{FILLS['free']} ", "free"), (f"free{gap}", "quiet")]
    if any(device.reserve_bytes for device in devices):
        cells += [(f"{FILLS['reserve']} ", "reserve"), ("reserve", "quiet")]
    return fit_line(cells, width)


def _capacity(device: DeviceMemory) -> int:
    return device.capacity_bytes or device.free_bytes or 0


def _other(device: DeviceMemory) -> int:
    if device.free_bytes is None or not device.capacity_bytes:
        return 0
    return max(0, device.capacity_bytes - device.free_bytes)
