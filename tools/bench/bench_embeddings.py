"""Vectors of all-MiniLM-L6-v2: the worker at the client's end of the wire against a C loop, same batches.

Every figure is the share of the C loop's speed that the worker reaches; the worker's time includes
tokenising and the wire, the C loop's does not.
"""

from __future__ import annotations

from array import array

from tools.bench import models
from tools.bench.client import Client
from tools.bench.measure import Row, Share, alternate
from tools.bench.native import Native

COUNTS = {1: 40, 32: 12, 1000: 6}
"""Texts in one request, and how many pairs are measured."""
_SENTENCE = "a boat number {} left the old harbour so early one day and came home again very late at night"
_TOLERANCE = 1e-5


def run() -> list[Row]:
    """Return a row for every number of texts."""
    with Client(models.minilm()) as worker, Native(models.minilm()) as native:
        texts = [_SENTENCE.format(number % 10) for number in range(max(COUNTS))]
        _check(worker, native, texts[:32])
        return [_row(worker, native, texts[:count], pairs) for count, pairs in COUNTS.items()]


def _row(worker: Client, native: Native, texts: list[str], pairs: int) -> Row:
    tokens = worker.embed(texts[:1])[1].token_counts[0]
    share = Share(alternate(lambda: worker.embed(texts)[0], lambda: native.embed(texts)[0], pairs))
    plural = "text" if len(texts) == 1 else "texts"
    return Row(
        f"{len(texts):,} {plural} of {tokens} tokens",
        f"{share} of the C loop, {share.rate(len(texts))} texts/s",
    )


def _check(worker: Client, native: Native, texts: list[str]) -> None:
    """Raise RuntimeError unless both sides compute the same vectors."""
    ours, theirs = array("f", worker.embed(texts)[1].vectors), array("f", native.embed(texts)[1])
    if max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) > _TOLERANCE:
        raise RuntimeError("The worker and the C loop computed different vectors.")
