"""Measured speed: what a benchmark tries, what one placement of a model gave, and what that lets expect.

A figure belongs to one model file on one machine. Between two measured numbers of GPU layers the time for a
token is taken to be linear in the layers, because each layer costs either the GPU's time or the CPU's.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import Preset

BenchPhase = Literal["loading", "warm-up", "prompt", "answer"]

TIE = 0.01
"""Share of the time by which a placement must be faster to be called better."""

_NOT_ABOUT_SPEED = frozenset(
    {"n_gpu_layers", "n_ctx", "use_mmap", "use_mlock", "check_tensors", "n_seq_max", "n_outputs_max"}
)


class BenchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is read and written in one measurement, and how often."""

    n_prompt: Annotated[
        int, Meta(ge=1, le=1_000_000, title="Prompt", description="Tokens that are read.")
    ] = 512
    n_gen: Annotated[
        int, Meta(ge=2, le=1_000_000, title="Answer", description="Tokens that are written.")
    ] = 128
    repeat: Annotated[
        int,
        Meta(ge=1, le=100, title="Repeats", description="Measurements of each placement, after a warm-up."),
    ] = 3


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The middle of several measurements, with the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @property
    def deviation(self) -> float:
        """Largest distance from the middle, as a share of it."""
        return max(self.high - self.median, self.median - self.low) / self.median if self.median else 0.0


class DeviceBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of one device for one model; None is what could not be predicted or measured."""

    device: str
    predicted_bytes: int | None = None
    measured_bytes: int | None = None


class BenchRun(msgspec.Struct, frozen=True, kw_only=True):
    """One placement: its speeds in tokens per second, or the `failure` that kept it from being measured.

    `n_gpu_layers` is what was asked for, or what auto came to; `n_gpu_layers_used` and `n_threads_used` are
    what the model really ran with, None where it never did. `n_prompt` and `n_gen` are the tokens that were
    really read and written. A failure after some repeats leaves their figures standing.
    """

    options: LoadOptions
    n_gpu_layers: int | Literal["auto"]
    n_prompt: int = 0
    n_gen: int = 0
    n_repeats: int = 0
    prompt_tokens_per_second: Spread | None = None
    tokens_per_second: Spread | None = None
    seconds_to_load: float | None = None
    memory: tuple[DeviceBytes, ...] = ()
    n_gpu_layers_used: int | None = None
    n_threads_used: int | None = None
    can_offload: bool = True
    llama_cpp_version: str = ""
    failure: Failure | None = None
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Time of one prompt and its answer, None unless both were measured without a failure."""
        read, written = self.prompt_tokens_per_second, self.tokens_per_second
        if self.failure is not None or read is None or written is None:
            return None
        return self.n_prompt / read.median + self.n_gen / written.median

    @property
    def n_measured_layers(self) -> int | None:
        """Layers that the speed belongs to, None where the model was never loaded."""
        return self.n_gpu_layers_used if self.n_gpu_layers == "auto" else self.n_gpu_layers


class BenchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a benchmark is: in the `trial`-th of `n_trials` placements, counted from one.

    `fraction` of the phase runs from 0 to 1, None where it is unknown; `repeat` counts from one.
    """

    trial: int
    n_trials: int
    options: LoadOptions
    phase: BenchPhase
    fraction: float | None = None
    repeat: int = 0


BenchEvent = BenchProgress | BenchRun


class MachineIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What speed depends on besides the model: figures of one machine say nothing about another."""

    cpu: str
    n_cpus: int
    gpus: tuple[str, ...] = ()
    driver: str = ""


class ModelIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What tells one model file from another: the name of its (first) file, all bytes, the newest change."""

    name: str
    size_bytes: int
    modified_at: float


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is remembered; `taken_at` is in seconds since 1970."""

    machine: MachineIdentity
    taken_at: float
    run: BenchRun


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """Speed to be expected, in tokens per second; it rests on `n_measurements` measured placements.

    These are one where this very placement was measured, and two where it lies between measured ones.
    """

    prompt_tokens_per_second: float
    tokens_per_second: float
    n_measurements: int

    @property
    def is_interpolated(self) -> bool:
        """Whether this placement itself was never measured."""
        return self.n_measurements > 1


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the middle and the ends of what was measured; None for nothing."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(median=statistics.median(known), low=min(known), high=max(known))


def winner(runs: Sequence[BenchRun], base: LoadOptions) -> BenchRun | None:
    """Return the run with the shortest prompt and answer; of runs that tie, the first.

    A coarser cache costs quality, so the types of `base` are preferred where they were measured at all.
    """
    timed = [run for run in runs if run.seconds is not None]
    alike = [run for run in timed if _cache_types(run.options) == _cache_types(base)]
    best: BenchRun | None = None
    for run in alike or timed:
        if best is None or (run.seconds or 0.0) < (best.seconds or 0.0) * (1 - TIE):
            best = run
    return best


def with_placement(preset: Preset, run: BenchRun) -> Preset:
    """Return the preset with the options of a run in place of its own."""
    return msgspec.structs.replace(preset, load=run.options)


def expected(runs: Sequence[BenchRun], options: LoadOptions) -> Expected | None:
    """Return the speed that runs of the same model and machine, oldest first, let expect for `options`.

    None where nothing alike was measured: there is no guess beyond the measured layers.
    """
    alike = [run for run in runs if run.seconds is not None and alike_but_layers(run.options, options)]
    if not alike:
        return None
    if not alike[-1].can_offload:  # no layer is offloaded, whatever is asked for
        return _expected_of(alike[-1:])
    points = {run.n_measured_layers: run for run in alike if run.can_offload}
    return None if options.n_gpu_layers == "auto" else _between(points, options.n_gpu_layers)


def alike_but_layers(left: LoadOptions, right: LoadOptions) -> bool:
    """Whether two placements differ at most in their GPU layers and in what makes no model faster."""
    return all(
        getattr(left, name) == getattr(right, name)
        for name in LoadOptions.__struct_fields__
        if name not in _NOT_ABOUT_SPEED
    )


def _cache_types(options: LoadOptions) -> tuple[str, str]:
    return options.type_k, options.type_v


def _between(points: dict[int | None, BenchRun], wanted: int) -> Expected | None:
    if wanted in points:
        return _expected_of([points[wanted]])
    known = [layers for layers in points if layers is not None]
    below = max((layers for layers in known if layers < wanted), default=None)
    above = min((layers for layers in known if layers > wanted), default=None)
    if below is None or above is None:
        return None
    return _expected_of([points[below], points[above]], (wanted - below) / (above - below))


def _expected_of(runs: Sequence[BenchRun], share: float = 0.0) -> Expected:
    """Return the speed at `share` of the way from the first run to the last; times are linear, not speeds."""
    read = [run.prompt_tokens_per_second.median for run in runs if run.prompt_tokens_per_second]
    written = [run.tokens_per_second.median for run in runs if run.tokens_per_second]
    return Expected(
        prompt_tokens_per_second=_mixed(read[0], read[-1], share),
        tokens_per_second=_mixed(written[0], written[-1], share),
        n_measurements=len(runs),
    )


def _mixed(first: float, last: float, share: float) -> float:
    return 1 / ((1 - share) / first + share / last)
