"""Which placements a benchmark tries: what was asked for, or a few that are worth knowing.

Left alone, it first looks for the best number of layers on a GPU, or of threads without one, and then varies
batch, cache and threads around what won.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kobold_tui.domain.benchmark import BenchRun, BenchSettings, winner
from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.load_options import Auto, CacheType, LoadOptions

MOST_TRIALS = 100
NEIGHBOURS = (-2, -1, 0, 1, 2)
QUARTERS = (0, 1, 2, 3, 4)


class BenchWish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried, in all combinations; what is empty stays as it is or is left to the program.

    `cache_types` are pairs of K and V. In `n_gpu_layers` "auto" alone leaves the layers to the program, and
    "all" is every one of them.
    """

    n_gpu_layers: tuple[int | str, ...] = ()
    n_threads: tuple[int, ...] = ()
    n_batch: tuple[int, ...] = ()
    n_ubatch: tuple[int, ...] = ()
    cache_types: tuple[tuple[CacheType, CacheType], ...] = ()

    @property
    def layers_are_open(self) -> bool:
        """Whether the program chooses the layers."""
        return not self.n_gpu_layers or self.n_gpu_layers == ("auto",)

    @property
    def is_open(self) -> bool:
        """Whether the program chooses everything."""
        return self.layers_are_open and not (
            self.n_threads or self.n_batch or self.n_ubatch or self.cache_types
        )


class BenchPlan:
    """The placements of one benchmark, in two steps: the second depends on the figures of the first.

    `best` is what the placement search proposes, where it could be asked. `n_cpus` are the cores at hand.
    """

    def __init__(  # noqa: PLR0913 - the facts that the choice depends on
        self,
        base: LoadOptions,
        wish: BenchWish,
        settings: BenchSettings,
        *,
        n_layer: int,
        has_gpu: bool,
        n_cpus: int,
        best: LoadOptions | None = None,
    ) -> None:
        self._base = base
        self._wish = wish
        self._settings = settings
        self._all_layers = n_layer + 1
        self._has_gpu = has_gpu
        self._n_cpus = n_cpus
        self._best = best

    def first(self) -> tuple[LoadOptions, ...]:
        """Return the first placements. Raises UsageError for too many."""
        if self._wish.is_open and not self._has_gpu:
            return _distinct([self._base, *self._with_threads(self._base)])
        placed = [options for base in self._layered() for options in self._combined(base)]
        if len(placed) > MOST_TRIALS:
            raise UsageError(
                "Too many placements",
                f"These lists make {len(placed)} combinations; {MOST_TRIALS} is the most.",
                "Shorten the lists.",
            )
        return _distinct(placed)

    def more(self, runs: Sequence[BenchRun]) -> tuple[LoadOptions, ...]:
        """Return what is worth trying after the first placements, nothing where they were asked for."""
        best = winner(runs, self._base)
        if not self._wish.is_open or best is None:
            return ()
        used = best.n_gpu_layers_used or 0
        tried = [run.options for run in runs]
        options = [*self._with_batches(best.options)]
        if self._has_gpu and best.can_offload:
            options += _with_smaller_cache(best.options)
        if used < self._all_layers:
            options += self._with_threads(best.options)
        return tuple(each for each in _distinct(options) if each not in tried)

    def is_pointless(self, options: LoadOptions, runs: Sequence[BenchRun]) -> bool:
        """Whether a placement differs from what was tried only in layers that no GPU will hold.

        A build without GPU support says so when the first model is loaded. What was asked for is tried.
        """
        if not self._wish.layers_are_open or not any(run.failure is None for run in runs):
            return False
        return all(run.can_offload is False for run in runs) and any(
            _without_layers(run.options) == _without_layers(options) for run in runs
        )

    def _layered(self) -> list[LoadOptions]:
        """Return the base with each number of layers, fewest first."""
        if not self._wish.layers_are_open:
            return [_with(self._base, n_gpu_layers=self._number(each)) for each in self._wish.n_gpu_layers]
        if not self._has_gpu:
            return [self._base]
        base = self._best or self._base
        centre = base.n_gpu_layers
        if centre == "auto":
            numbers = {round(self._all_layers * quarter / 4) for quarter in QUARTERS}
        else:
            numbers = {min(max(centre, 0), self._all_layers) + step for step in NEIGHBOURS}
        return [
            _with(base, n_gpu_layers=number) for number in sorted(numbers) if 0 <= number <= self._all_layers
        ]

    def _number(self, layers: int | str) -> int | Auto:
        """Return a number of layers as the options have it; more than there are is all of them."""
        if layers == "auto":
            return "auto"
        return self._all_layers if layers == "all" or int(layers) > self._all_layers else int(layers)

    def _combined(self, base: LoadOptions) -> Iterable[LoadOptions]:
        """Return `base` in all combinations that were asked for."""
        wish = self._wish
        kinds: tuple[list[dict[str, Any]], ...] = (
            [{"n_threads": n, "n_threads_batch": n} for n in wish.n_threads],
            [{"n_batch": n} for n in wish.n_batch],
            [{"n_ubatch": n} for n in wish.n_ubatch],
            [{"type_k": k, "type_v": v} for k, v in wish.cache_types],
        )
        for changes in itertools.product(*(kind or [{}] for kind in kinds)):
            merged: dict[str, Any] = {}
            for change in changes:
                merged |= change
            yield _with(base, **merged)

    def _with_threads(self, base: LoadOptions) -> list[LoadOptions]:
        now = max(self._n_cpus - 1, 1) if base.n_threads == "auto" else base.n_threads
        numbers = {max(self._n_cpus // 2, 1), self._n_cpus} - {now}
        return [_with(base, n_threads=n, n_threads_batch=n) for n in sorted(numbers)]

    def _with_batches(self, base: LoadOptions) -> list[LoadOptions]:
        """Return larger and smaller micro-batches; one beyond the prompt is the same as the prompt's."""
        now = min(base.n_ubatch, base.n_batch)
        sizes = [size for size in (now // 4, now * 2, now * 4) if 32 <= size < self._settings.n_prompt * 2]
        return [_with(base, n_ubatch=size, n_batch=max(size, base.n_batch)) for size in sizes]


def read_settings(values: dict[str, int | None]) -> BenchSettings:
    """Return checked settings; None keeps the default. Raises UsageError for what is out of range."""
    try:
        given = {name: value for name, value in values.items() if value is not None}
        return msgspec.convert(given, BenchSettings)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at `$.")
        raise UsageError("Wrong usage", f"{place.rstrip('`')}: {words[:1].lower()}{words[1:]}.") from error


def read_layers(text: str) -> tuple[int | str, ...]:
    """Return what a list such as `0,16,all` or `auto` names. Raises UsageError."""
    found: list[int | str] = []
    for word in (part.strip().lower() for part in text.split(",")):
        if word in {"auto", "all"}:
            found.append(word)
        elif word.isascii() and word.isdecimal() and len(word) < 7:
            found.append(int(word))
        else:
            raise UsageError(
                "Wrong usage",
                f"{text!r} is no list of layers.",
                "Give numbers and commas, such as 0,16,33; `all`; or `auto`.",
            )
    return tuple(found)


def _with(base: LoadOptions, **changes: Any) -> LoadOptions:
    return msgspec.structs.replace(base, **changes)


def _with_smaller_cache(base: LoadOptions) -> list[LoadOptions]:
    if (base.type_k, base.type_v) != ("f16", "f16") or base.flash_attn is False:
        return []
    return [_with(base, type_k="q8_0", type_v="q8_0")]


def _without_layers(options: LoadOptions) -> LoadOptions:
    return _with(options, n_gpu_layers="auto")


def _distinct(options: Iterable[LoadOptions]) -> tuple[LoadOptions, ...]:
    found: list[LoadOptions] = []
    for each in options:
        if each not in found:
            found.append(each)
    return tuple(found)
