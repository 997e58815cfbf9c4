"""Writing, reading and several answers at once: the worker at the client's end of the wire against C loops.

Every figure is the share of the C loop's speed that the worker reaches, on the starter model with a full
chain of samplers and streaming on. One answer at a time runs in a context with one slot: in a shared cache
attention runs over what other slots keep as well, and the C loop keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from kobold_tui.domain.sampling import SamplingOptions
from tools.bench import models
from tools.bench.client import Client
from tools.bench.measure import Row, Share, alternate
from tools.bench.native import Native

FULL_CHAIN = SamplingOptions(
    seed=1,
    repeat_penalty=1.1,
    frequency_penalty=0.1,
    dry_multiplier=0.8,
    xtc_probability=0.3,
    banned_tokens=tuple(range(17)),  # the special tokens of the starter model, those that end an answer too
)
N_WRITTEN = 64
N_SLOTS, N_WRITTEN_TOGETHER = 4, 40
_WORDS = "The quick brown fox jumps over the lazy dog while seven old sailors count the waves. "


def run() -> list[Row]:
    """Return the three rows."""
    with Client(models.starter()) as worker, Native(models.starter()) as native:
        rows = [_writing(worker, native), _reading(worker, native)]
    with Client(models.starter(N_SLOTS)) as worker, Native(models.starter(N_SLOTS)) as native:
        return [*rows, _together(worker, native)]


def _prompts(length: int) -> Iterator[str]:
    """Yield prompts that share no beginning, so that nothing is taken from the cache."""
    for number in range(1000):
        yield f"{chr(65 + number % 26)}{number}: " + _WORDS * length


def _writing(worker: Client, native: Native) -> Row:
    ours, theirs = _prompts(1), _prompts(1)
    pairs = alternate(
        lambda: worker.generate(next(ours), FULL_CHAIN, N_WRITTEN),
        lambda: native.generate(next(theirs), FULL_CHAIN, N_WRITTEN),
        pairs=15,
    )
    if any(streamed.text != written.text for streamed, written in pairs):
        raise RuntimeError("The worker and the C loop wrote different texts.")
    share = Share([(streamed.cost, written.cost) for streamed, written in pairs])
    return Row(f"writing {N_WRITTEN} tokens", f"{share} of the C loop, {share.rate(N_WRITTEN)} tokens/s")


def _reading(worker: Client, native: Native) -> Row:
    ours, theirs = _prompts(32), _prompts(32)
    n_tokens = native.count_tokens(next(_prompts(32)))
    share = Share(
        alternate(
            lambda: worker.generate(next(ours), FULL_CHAIN, 1).cost,
            lambda: native.generate(next(theirs), FULL_CHAIN, 1).cost,
            pairs=10,
        )
    )
    return Row(f"reading {n_tokens} tokens", f"{share} of the C loop, {share.rate(n_tokens)} tokens/s")


def _apart(prompt: str) -> list[str]:
    """Return a prompt for each slot, all of one length and without a common beginning."""
    return [f"{slot}{prompt}" for slot in range(N_SLOTS)]


def _together(worker: Client, native: Native) -> Row:
    ours, theirs = _prompts(1), _prompts(1)
    share = Share(
        alternate(
            lambda: worker.generate_together(_apart(next(ours)), FULL_CHAIN, N_WRITTEN_TOGETHER),
            lambda: native.generate(_apart(next(theirs))[0], FULL_CHAIN, N_WRITTEN_TOGETHER, N_SLOTS).cost,
            pairs=10,
        )
    )
    total = N_SLOTS * N_WRITTEN_TOGETHER
    return Row(
        f"{N_SLOTS} answers of {N_WRITTEN_TOGETHER} tokens at once",
        f"{share} of the C loop, {share.rate(total)} tokens/s",
    )
