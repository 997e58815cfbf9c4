"""CPU time a token that the worker takes beyond a C loop, early and late in a long answer.

The model is so small that what is around it shows; both sides write the same tokens with the same samplers.
"""

from __future__ import annotations

import bisect
import statistics

from kobold_tui.domain.sampling import SamplingOptions
from tools.bench import models
from tools.bench.client import Client, Streamed
from tools.bench.measure import Row, alternate
from tools.bench.native import Native, Written

N_TOKENS = 4300
WINDOWS = {"around token 100": (20, 420), "around token 4,000": (3800, 4200)}
PAIRS = 15
SAMPLING = SamplingOptions(
    seed=1, repeat_penalty=1.1, dry_multiplier=0.8, dry_penalty_last_n=256, xtc_probability=0.3,
    banned_tokens=(0, 1, 2),
)  # fmt: skip
PROMPT = "hello world"


def run() -> list[Row]:
    """Return a row for every place in the answer."""
    with Client(models.random_llama()) as worker, Native(models.random_llama()) as native:
        pairs = alternate(
            lambda: worker.generate(PROMPT, SAMPLING, N_TOKENS),
            lambda: native.generate(PROMPT, SAMPLING, N_TOKENS),
            PAIRS,
        )
    if any(answer.text != loop.text for answer, loop in pairs):
        raise RuntimeError("The worker and the C loop wrote different texts.")
    return [_row(name, window, pairs) for name, window in WINDOWS.items()]


def _row(name: str, window: tuple[int, int], pairs: list[tuple[Streamed, Written]]) -> Row:
    extra = [_microseconds(answer, loop, window) for answer, loop in pairs]
    base = statistics.median(_of_loop(loop, *window) for _, loop in pairs)
    return Row(
        name,
        f"{statistics.median(extra):.1f} µs ({min(extra):.1f} to {max(extra):.1f}) on top of {base:.0f} µs",
    )


def _microseconds(answer: Streamed, loop: Written, window: tuple[int, int]) -> float:
    """Return the extra CPU time a token, between the frames that are nearest to the window's ends."""
    counts = [count for count, _ in answer.marks]
    first, last = (answer.marks[bisect.bisect_left(counts, edge)] for edge in window)
    ours = 1e6 * (last[1] - first[1]) / (last[0] - first[0])
    return ours - _of_loop(loop, first[0], last[0])


def _of_loop(loop: Written, first: int, last: int) -> float:
    """Return the C loop's CPU microseconds a token between two tokens."""
    return 1e6 * (loop.cpu_seconds[last - 1] - loop.cpu_seconds[first - 1]) / (last - first)
