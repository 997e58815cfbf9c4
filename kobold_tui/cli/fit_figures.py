"""A placement as a JSON document and as lines for people."""

from __future__ import annotations

import msgspec

from kobold_tui.cli.output import Column, one_line, table
from kobold_tui.domain.fit import Placement
from kobold_tui.domain.memory import DeviceMemory, ModelShape
from kobold_tui.domain.memory.context import context_sizes
from kobold_tui.domain.units import format_bytes

UNKNOWN = "n/a"
BAR_WIDTH = 40
LEGEND = "█ weights  ▓ KV cache  ▒ compute  ░ overhead  · free"

COLUMNS = (
    Column(title="DEVICE"),
    Column(title="WEIGHTS", align="right"),
    Column(title="KV", align="right"),
    Column(title="COMPUTE", align="right"),
    Column(title="OVERHEAD", align="right"),
    Column(title="TOTAL", align="right"),
    Column(title="FREE", align="right"),
    Column(title="", flexible=True),
)


def document(path: str, shape: ModelShape, found: Placement) -> dict[str, object]:
    """Return the JSON form; what scripts are promised stands first."""
    estimate, options = found.estimate, found.options
    return {
        "n_gpu_layers": estimate.n_gpu_layers,
        "n_layer": estimate.n_layer,
        "fits": estimate.fits,
        "devices": [_device(row) for row in estimate.devices],
        "exact": estimate.exact,
        "kind": found.kind,
        "why": _why(shape, found),
        "notes": list(estimate.notes),
        "is_supported": shape.supported,
        "model": path,
        "options": msgspec.to_builtins(options),
    }


def _device(row: DeviceMemory) -> dict[str, object]:
    return {
        "name": row.name,
        "weights_bytes": row.weights_bytes,
        "kv_bytes": row.kv_bytes,
        "compute_bytes": row.compute_bytes,
        "overhead_bytes": row.overhead_bytes,
        "total_bytes": row.total_bytes,
        "free_bytes": row.free_bytes,
        "projector_bytes": row.projector_bytes,
        "adapters_bytes": row.adapters_bytes,
        "reserve_bytes": row.reserve_bytes,
        "fits": row.fits,
    }


def lines(name: str, shape: ModelShape, found: Placement, width: int | None) -> list[str]:
    """Return what a person reads: a headline, a table, a bar for each device, and why it is so."""
    estimate = found.estimate
    rows = [_row(row) for row in estimate.devices]
    names = max(len(row.name) for row in estimate.devices)
    bars = [
        one_line(f"{row.name:<{names}}  {bar(row)}  {_share(row)}") for row in estimate.devices if _limit(row)
    ]
    told = [_why(shape, found), *estimate.notes, _how(found, shape)]
    return [
        one_line(_headline(name, shape, found)),
        "",
        *table(COLUMNS, rows, width),
        "",
        *([*bars, " " * (names + 2) + LEGEND, ""] if bars else []),
        *(one_line(text) for text in told if text),
    ]


def bar(row: DeviceMemory, width: int = BAR_WIDTH) -> str:
    """Return a device's free memory as cells of its parts; one that is too small is full to the last cell."""
    limit = max(_limit(row), row.total_bytes, 1)
    parts = (row.weights_bytes + row.projector_bytes + row.adapters_bytes, row.kv_bytes)
    cells, done, drawn = "", 0, 0
    for mark, size in zip("█▓▒░", (*parts, row.compute_bytes, row.overhead_bytes), strict=True):
        done += size
        end = round(done * width / limit)
        end = min(max(end, drawn + 1) if size else drawn, width)
        cells += mark * (end - drawn)
        drawn = end
    return cells.ljust(width, "·")


def _headline(name: str, shape: ModelShape, found: Placement) -> str:
    options, estimate = found.options, found.estimate
    sizes = context_sizes(shape, options)
    tokens = f"{sizes.n_cells * sizes.n_streams:,} tokens"
    kinds = options.type_k if options.type_k == options.type_v else f"{options.type_k}/{options.type_v}"
    experts = f", experts of {options.n_cpu_moe} layers in RAM" if options.n_cpu_moe else ""
    layers = f"{estimate.n_gpu_layers} of {shape.n_units} layers on the GPU"
    return f"{name}: {layers}{experts}, {tokens}, KV cache {kinds}{_split(found)}"


def _split(found: Placement) -> str:
    split = found.options.tensor_split
    return f", split {'/'.join(f'{share:g}' for share in split)}" if len(split) > 1 else ""


def _row(row: DeviceMemory) -> tuple[str, ...]:
    files = row.projector_bytes + row.adapters_bytes
    sizes = (row.weights_bytes + files, row.kv_bytes, row.compute_bytes, row.overhead_bytes, row.total_bytes)
    free = UNKNOWN if row.free_bytes is None else format_bytes(row.free_bytes)
    return (row.name, *(format_bytes(size) if size else "-" for size in sizes), free, _verdict(row))


def _verdict(row: DeviceMemory) -> str:
    if not row.total_bytes:
        return "unused"
    if row.spare_bytes is None:
        return ""
    if row.spare_bytes >= 0:
        return "fits"
    return f"short by {format_bytes(-row.spare_bytes)}"


def _share(row: DeviceMemory) -> str:
    reserve = f", {format_bytes(row.reserve_bytes)} to stay free" if row.reserve_bytes else ""
    return f"{format_bytes(row.total_bytes)} of {format_bytes(_limit(row))}{reserve}"


def _limit(row: DeviceMemory) -> int:
    return row.free_bytes or 0


def _why(shape: ModelShape, found: Placement) -> str:
    """Return the reason; a forecast without the cache says nothing about what fits."""
    if not shape.supported and not found.estimate.exact:
        return "Only the weights are known here."
    return found.why


def _how(found: Placement, shape: ModelShape) -> str:
    if found.estimate.exact:
        return "Exact: llama.cpp's own figures of a dry run."
    return "Predicted; --exact asks llama.cpp." if shape.supported else "--exact asks llama.cpp itself."
