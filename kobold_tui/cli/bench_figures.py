"""The figures of a benchmark as a JSON document and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kobold_tui.cli.output import Column, table
from kobold_tui.domain.benchmark import BenchProgress, BenchRun, BenchSettings, DeviceBytes, Spread
from kobold_tui.domain.units import format_bytes, format_seconds

BEST = "*"
UNKNOWN = "n/a"
COLUMNS = (
    Column(title=""),
    Column(title="LAYERS", align="right"),
    Column(title="KV"),
    Column(title="BATCH", align="right"),
    Column(title="THREADS", align="right"),
    Column(title="PROMPT", align="right"),
    Column(title="ANSWER tok/s", align="right"),
    Column(title="LOAD", align="right"),
    Column(title="MEMORY (predicted)", flexible=True),
)


def document(
    model: str, settings: BenchSettings, runs: Sequence[BenchRun], best: BenchRun | None, *, interrupted: bool
) -> dict[str, object]:
    """Return the JSON form; `winner` is the place of the fastest among the runs, null where there is none."""
    return {
        "runs": [_run_document(run) for run in runs],
        "winner": runs.index(best) if best is not None else None,
        "model": model,
        "n_prompt": settings.n_prompt,
        "n_gen": settings.n_gen,
        "repeat": settings.repeat,
        "interrupted": interrupted,
    }


def _run_document(run: BenchRun) -> dict[str, object]:
    read, written, options = run.prompt_tokens_per_second, run.tokens_per_second, run.options
    return {
        "n_gpu_layers": run.n_gpu_layers,
        "prompt_tokens_per_second": read.median if read else None,
        "tokens_per_second": written.median if written else None,
        "seconds_to_load": run.seconds_to_load,
        "memory": [msgspec.structs.asdict(line) for line in run.memory],
        "n_gpu_layers_used": run.n_gpu_layers_used,
        "n_threads": run.n_threads_used,
        "n_batch": options.n_batch,
        "n_ubatch": options.n_ubatch,
        "type_k": options.type_k,
        "type_v": options.type_v,
        "n_prompt": run.n_prompt,
        "n_gen": run.n_gen,
        "repeats": run.n_repeats,
        "prompt_spread": [read.low, read.high] if read else None,
        "spread": [written.low, written.high] if written else None,
        "error": msgspec.structs.asdict(run.failure) if run.failure else None,
        "notes": run.notes,
    }


def lines(runs: Sequence[BenchRun], best: BenchRun | None, width: int | None) -> list[str]:
    """Return the table, and below it why a placement has no figures."""
    rows = [_row(run, is_best=run is best) for run in runs]
    failed = [
        f"{label(run)}: {run.failure.title}. {run.failure.message}" for run in runs if run.failure is not None
    ]
    notes = [f"{label(run)}: {note}" for run in runs for note in run.notes]
    told = [*failed, *notes]
    return [*table(COLUMNS, rows, width), *([""] if told else []), *told]


def label(run: BenchRun) -> str:
    """Return what tells a run from its neighbours."""
    options = run.options
    threads = "" if options.n_threads == "auto" else f", {options.n_threads} threads"
    return f"{run.n_gpu_layers} layers, {options.type_k}/{options.type_v}, batch {_batch(run)}{threads}"


def progress_line(progress: BenchProgress) -> str:
    """Return one line: which placement, and how far it is."""
    options = progress.options
    place = f"Placement {progress.trial} of {progress.n_trials}: {options.n_gpu_layers} layers"
    share = "" if progress.fraction is None else f" {progress.fraction:.0%}"
    repeat = f", repeat {progress.repeat}" if progress.repeat else ""
    return f"{place}{repeat}: {progress.phase}{share} …"


def _row(run: BenchRun, *, is_best: bool) -> tuple[str, ...]:
    options = run.options
    kinds = options.type_k if options.type_k == options.type_v else f"{options.type_k}/{options.type_v}"
    threads = run.n_threads_used if run.n_threads_used is not None else options.n_threads
    memory = "failed, see below" if run.failure else "  ".join(_memory(line) for line in run.memory)
    return (
        BEST if is_best else "",
        str(run.n_gpu_layers),
        kinds,
        str(_batch(run)),
        str(threads),
        _speed(run.prompt_tokens_per_second),
        _speed(run.tokens_per_second),
        "" if run.seconds_to_load is None else format_seconds(run.seconds_to_load),
        memory,
    )


def _batch(run: BenchRun) -> int:
    return min(run.options.n_batch, run.options.n_ubatch)


def _speed(speed: Spread | None) -> str:
    if speed is None:
        return ""
    digits = 2 if speed.median < 9.995 else 1 if speed.median < 99.95 else 0
    return f"{speed.median:.{digits}f} ±{speed.deviation:.0%}"


def _memory(line: DeviceBytes) -> str:
    measured = UNKNOWN if line.measured_bytes is None else format_bytes(line.measured_bytes)
    predicted = "" if line.predicted_bytes is None else f" ({format_bytes(line.predicted_bytes)})"
    return f"{line.device} {measured}{predicted}"
