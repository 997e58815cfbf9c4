"""Three columns of truth: what is predicted, what a dry run says, and what the driver measures."""

from __future__ import annotations

from collections.abc import Mapping

from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.memory import HOST_NAME, DeviceMemory, MemoryEstimate
from kobold_tui.domain.units import format_bytes
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line
from kobold_tui.tui.widgets.fit_text import fit, fit_right

NAME, COLUMN = 7, 12


def truth_lines(
    predicted: MemoryEstimate,
    exact: MemoryEstimate | None,
    measured: Mapping[str, int],
    width: int,
    *,
    is_asked: bool = False,
) -> list[Line]:
    """Return the table; – stands for what is unknown, … for what is asked; differences are to the left."""
    heads = ("predicted", "dry run", "difference", "measured", "difference")
    head = fit("", NAME) + "".join(fit_right(text, COLUMN) for text in heads)
    lines = [fit_line(((head, "quiet"),), width)]
    tried = {device.name: device for device in exact.devices} if exact else {}
    for device in (*predicted.cards, predicted.host):
        guess = device.total_bytes if predicted.is_supported else None
        row = _row(device, guess, tried.get(device.name), measured.get(device.name))
        if is_asked:
            row[2] = fit_right("…", COLUMN), "quiet"
        lines.append(fit_line(row, width))
    return lines


def measured_bytes(telemetry: Telemetry | None, instance: InstanceId | None) -> dict[str, int]:
    """Return what an instance holds by the driver's figures, by llama.cpp's names of the devices."""
    if telemetry is None or instance is None:
        return {}
    found = {HOST_NAME: telemetry.workers[instance]} if instance in telemetry.workers else {}
    for gpu in telemetry.gpus:
        held = [
            p.memory_bytes for p in gpu.processes if p.instance == instance and p.memory_bytes is not None
        ]
        if held and gpu.is_visible:
            found[f"CUDA{gpu.index}"] = sum(held)
    return found


def _row(
    device: DeviceMemory, guess: int | None, tried: DeviceMemory | None, measured: int | None
) -> list[Cell]:
    exact = tried.total_bytes if tried is not None else None
    reference = guess if exact is None else exact
    return [
        (fit(device.name, NAME), "text"),
        _size(guess),
        _size(exact),
        _difference(exact, guess),
        _size(measured),
        _difference(measured, reference),
    ]


def _size(n_bytes: int | None) -> Cell:
    if n_bytes is None:
        return fit_right("–", COLUMN), "quiet"
    return fit_right(format_bytes(n_bytes), COLUMN), "strong"


def _difference(one: int | None, other: int | None) -> Cell:
    if one is None or other is None:
        return fit_right("", COLUMN), "quiet"
    sign = "+" if one > other else ""
    text = "exact" if one == other else f"{sign}{format_bytes(one - other)}"
    return fit_right(text, COLUMN), "good" if one == other else "warn"
