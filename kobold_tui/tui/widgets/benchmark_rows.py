"""Rows and words of the benchmark window: a placement, its speeds and its memory."""

from __future__ import annotations

from collections.abc import Sequence

from kobold_tui.domain.benchmark import BenchProgress, BenchRun, DeviceBytes, Spread
from kobold_tui.domain.units import format_bytes, format_seconds
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.row_list import Cell
from kobold_tui.tui.widgets.speed_curve import Point

_MARK, _LAYERS, _CACHE, _BATCH, _THREADS, _SPEED, _LOAD = 2, 7, 11, 6, 8, 13, 9
_MEMORY = 12
"""The least columns in which memory can be told."""

_FIXED = _MARK + _LAYERS + _CACHE + _BATCH + _THREADS + 2 * _SPEED + _LOAD
_BAR = 20

BEGIN = (
    "Enter measures a few placements of the model, each in a process of its own: layers on the GPU or"
    " threads, then batch, cache and threads around the fastest."
)
HELP = """\
How fast is the model here, and which settings are best? Each placement is loaded in a process of its own,
warmed up, measured a few times and unloaded. A row shows the middle of the measurements and how far they lie
from it; `★` is the fastest for a prompt and its answer. A placement that cannot be loaded is a row with its
reason.

**Layers** takes `auto`, `all`, or a list such as `0,16,33`. With `auto` the program chooses: some numbers of
layers (threads, without a GPU), then other batches, caches and threads around the fastest.

A model that is loaded meanwhile takes memory and time from the measurement: unload it first. What was
measured is kept, and the speed to be expected is shown where you choose settings.
"""


def heading(width: int) -> str:
    """Return the titles above the rows."""
    titles = fit("", _MARK) + fit_right("Layers", _LAYERS) + "  " + fit("KV cache", _CACHE - 2)
    titles += fit_right("Batch", _BATCH) + fit_right("Threads", _THREADS) + fit_right("Prompt tok/s", _SPEED)
    titles += fit_right("Answer tok/s", _SPEED) + fit_right("Load", _LOAD)
    left = max(0, width - _FIXED)
    return titles + fit("  Memory" if left >= _MEMORY else "", left)


def draw_run(run: BenchRun, best: BenchRun | None, width: int) -> Sequence[Cell]:
    """Return the cells of a placement; one without figures says why."""
    options = run.options
    threads = run.n_threads_used if run.n_threads_used is not None else options.n_threads
    cache = options.type_k if options.type_k == options.type_v else f"{options.type_k}/{options.type_v}"
    place = fit_right(str(run.n_gpu_layers), _LAYERS) + "  " + fit(cache, _CACHE - 2)
    place += fit_right(str(min(options.n_batch, options.n_ubatch)), _BATCH) + fit_right(
        str(threads), _THREADS
    )
    mark = ("★ ", "row--good") if run is best else ("✗ ", "row--bad") if run.failure else ("  ", "row--quiet")
    rest = max(0, width - _MARK - _LAYERS - _CACHE - _BATCH - _THREADS)
    if run.failure is not None:
        return [mark, (place, "row--text"), (fit(f"  {run.failure.title}", rest), "row--bad")]
    left = max(0, width - _FIXED)
    memory = fit(f"  {memory_words(run.memory)}", left) if left >= _MEMORY else " " * left
    load = "" if run.seconds_to_load is None else format_seconds(run.seconds_to_load)
    return [
        mark,
        (place, "row--text"),
        (fit_right(_speed(run.prompt_tokens_per_second), _SPEED), "row--quiet"),
        (fit_right(_speed(run.tokens_per_second), _SPEED), "row--text"),
        (fit_right(load, _LOAD), "row--quiet"),
        (memory, "row--quiet"),
    ]


def detail(run: BenchRun) -> str:
    """Return what a row has no room for."""
    parts = [f"{run.failure.title}: {run.failure.message} {run.failure.hint}".strip()] if run.failure else []
    parts += [_memory_line(line) for line in run.memory]
    return " · ".join([*parts, *run.notes])


def memory_words(memory: Sequence[DeviceBytes]) -> str:
    """Return the measured memory of each device, or what was predicted where nothing was measured."""
    sizes = [(line.device, line.measured_bytes or line.predicted_bytes) for line in memory]
    return ", ".join(f"{device} {format_bytes(size)}" for device, size in sizes if size is not None)


def progress_words(progress: BenchProgress) -> str:
    """Return one line: how far the benchmark is, with a bar for the phase."""
    full = round((progress.fraction or 0.0) * _BAR)
    bar = "━" * full + "─" * (_BAR - full)
    repeat = f", repeat {progress.repeat}" if progress.repeat else ""
    place = f"Placement {progress.trial} of {progress.n_trials}: {progress.options.n_gpu_layers} layers"
    return f"{place}{repeat}  {bar}  {progress.phase}"


def curve_points(runs: Sequence[BenchRun], *, of_prompt: bool) -> tuple[str, tuple[Point, ...]]:
    """Return the name of the x axis and the points of a curve: over layers, else over threads or rows.

    Of several runs with the same layers the fastest counts.
    """
    timed = [run for run in runs if run.seconds is not None]
    axis = "layers"
    places: list[float] = [run.n_gpu_layers_used or 0 for run in timed]
    if len(set(places)) < 2:
        axis, places = "threads", [run.n_threads_used or 0 for run in timed]
    if len(set(places)) < 2:
        axis, places = "row", [number for number, run in enumerate(runs, 1) if run.seconds is not None]
    fastest: dict[float, float] = {}
    for place, run in zip(places, timed, strict=True):
        speed = run.prompt_tokens_per_second if of_prompt else run.tokens_per_second
        fastest[place] = max(fastest.get(place, 0.0), speed.median if speed else 0.0)
    return axis, tuple(sorted(fastest.items()))


def _speed(speed: Spread | None) -> str:
    if speed is None:
        return ""
    digits = 2 if speed.median < 9.995 else 1 if speed.median < 99.95 else 0
    return f"{speed.median:.{digits}f} ±{speed.deviation:.0%}"


def _memory_line(line: DeviceBytes) -> str:
    predicted = "not predicted" if line.predicted_bytes is None else format_bytes(line.predicted_bytes)
    measured = "not measured" if line.measured_bytes is None else format_bytes(line.measured_bytes)
    return f"{line.device}: {predicted} → {measured}"
