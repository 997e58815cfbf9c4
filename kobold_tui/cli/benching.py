"""The work of `bench`: settle what to try, follow the measurements, print them, and save the fastest."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast, get_args

from kobold_tui.cli.bench_figures import document, label, lines, progress_line
from kobold_tui.cli.frame import FAILED, INTERRUPTED
from kobold_tui.cli.output import StatusLine, narrate, print_json, printable, screen_width
from kobold_tui.domain.benchmark import BenchProgress, BenchRun, BenchSettings, winner
from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.load_options import CacheType
from kobold_tui.services.benchmark_plan import BenchWish, read_layers, read_settings

if TYPE_CHECKING:
    from kobold_tui.services.launch import Launch
    from kobold_tui.services.registry import Services

MOST_THREADS, LARGEST_BATCH = 1024, 65_536


async def bench(arguments: argparse.Namespace, services: Services) -> int:
    """Measure as `arguments` say; returns the exit status."""
    settings = read_settings(
        {"n_prompt": arguments.n_prompt, "n_gen": arguments.n_gen, "repeat": arguments.repeat}
    )
    wish = read_wish(arguments)
    launch = await services.launch.resolve(arguments.reference)
    runs: list[BenchRun] = []
    interrupted = False
    try:
        await _measure(services, launch, settings, wish, runs)
    except asyncio.CancelledError:
        interrupted = True
    best = winner(runs, launch.preset.load)
    if arguments.json:
        print_json(document(launch.model.path, settings, runs, best, interrupted=interrupted))
    elif runs:
        for line in lines(runs, best, screen_width()):
            print(printable(line))
    if interrupted:
        narrate("Stopped. The rows above were measured before." if runs else "Stopped.")
        return INTERRUPTED
    if best is None:
        return FAILED
    if arguments.save is not None:
        await _save(services, launch, best, arguments.save)
    return 0


def read_wish(arguments: argparse.Namespace) -> BenchWish:
    """Return what is to be tried. Raises UsageError for lists that make no sense."""
    return BenchWish(
        n_gpu_layers=read_layers(arguments.n_gpu_layers) if arguments.n_gpu_layers is not None else (),
        n_threads=_numbers("--threads", arguments.threads, MOST_THREADS),
        n_batch=_numbers("--n-batch", arguments.n_batch, LARGEST_BATCH),
        n_ubatch=_numbers("--n-ubatch", arguments.n_ubatch, LARGEST_BATCH),
        cache_types=_cache_types(arguments.type_k, arguments.type_v),
    )


async def _measure(
    services: Services, launch: Launch, settings: BenchSettings, wish: BenchWish, runs: list[BenchRun]
) -> None:
    """Collect runs; each is also told as soon as it is there."""
    status = StatusLine()
    try:
        async with aclosing(services.benchmark.run(launch, settings, wish)) as events:
            async for event in events:
                match event:
                    case BenchProgress():
                        status.show(progress_line(event))
                    case BenchRun():
                        status.clear()
                        runs.append(event)
                        narrate(_told(event), quiet=True)
    finally:
        status.clear()


def _told(run: BenchRun) -> str:
    if run.failure is not None:
        return f"{label(run)}: {run.failure.title}"
    read, written = run.prompt_tokens_per_second, run.tokens_per_second
    if read is None or written is None:
        return f"{label(run)}: no figures"
    return f"{label(run)}: prompt {read.median:.1f} tok/s, answer {written.median:.1f} tok/s"


async def _save(services: Services, launch: Launch, best: BenchRun, name: str) -> None:
    stored = await services.benchmark.save(launch.preset, best, name)
    narrate(f"Saved as the preset {stored.preset.name!r} in {stored.path}.")


def _numbers(option: str, text: str | None, largest: int) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")] if text is not None else []
    if not all(word.isascii() and word.isdecimal() and 0 < int(word[:9]) <= largest for word in words):
        raise UsageError(
            "Wrong usage", f"{option} {text}: not a list of numbers from 1 to {largest}.", "Such as 4,8."
        )
    return tuple(int(word) for word in words)


def _cache_types(keys: str | None, values: str | None) -> tuple[tuple[CacheType, CacheType], ...]:
    """Return pairs of types; a single one goes with all of the other list, and a missing list is the same."""
    if keys is None and values is None:
        return ()
    k = _types("--type-k", keys if keys is not None else values or "")
    v = _types("--type-v", values if values is not None else keys or "")
    if len(k) != len(v) and 1 not in {len(k), len(v)}:
        raise UsageError(
            "Wrong usage",
            f"--type-k has {len(k)} types and --type-v has {len(v)}.",
            "They are taken in pairs: give as many of both, or one.",
        )
    most = max(len(k), len(v))
    return tuple(zip(k * (most // len(k)), v * (most // len(v)), strict=True))


def _types(option: str, text: str) -> tuple[CacheType, ...]:
    words = tuple(word.strip().lower() for word in text.split(","))
    known = get_args(CacheType)
    unknown = next((word for word in words if word not in known), None)
    if unknown is not None:
        raise UsageError(
            "Wrong usage", f"{option}: {unknown!r} is no cache type.", f"There are {', '.join(known)}."
        )
    return cast("tuple[CacheType, ...]", words)
