"""Vectors of all-MiniLM-L6-v2: the worker at the client's end of the wire against a C loop, same batches.

Every figure is the share of the C loop's speed that the worker reaches. Both sides tokenise the texts and
bring the vectors to length one; the worker's time includes the wire as well. The C loop computes batch after
batch without a pause. So does a worker with several requests under way; one that is asked for a single text,
and for the next one after the answer, sleeps in between, and so does its client: two wake-ups and an idle
core's cold caches then belong to every text. Both are measured, and a ping shows what the wake-ups cost.
"""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Sequence

from tools.bench import models
from tools.bench.client import Client
from tools.bench.measure import Cost, Row, Share, alternate
from tools.bench.native import Embedded, Native

COUNTS = {32: 20, 1000: 6}
"""Texts in one request, and how many pairs are measured."""
N_SINGLE, SINGLE_PAIRS = 40, 15
"""Requests of one text that are timed together, and how many pairs are measured."""
_SENTENCE = "a boat number {} left the old harbour so early one day and came home again very late at night"
_TOLERANCE = 1e-5


def run() -> list[Row]:
    """Return two rows for single texts, one for a ping, and one for every number of texts in a request."""
    with Client(models.minilm()) as worker, Native(models.minilm()) as native:
        texts = [_SENTENCE.format(number % 10) for number in range(max(COUNTS))]
        _check(worker, native, texts[:32])
        singles = texts[:N_SINGLE]
        return [
            _single(worker, native, singles, in_flight=True),
            _single(worker, native, singles, in_flight=False),
            _ping(worker),
            *(_together(worker, native, texts[:count], pairs) for count, pairs in COUNTS.items()),
        ]


def _single(worker: Client, native: Native, texts: Sequence[str], *, in_flight: bool) -> Row:
    pairs = alternate(
        lambda: worker.embed_each(texts, in_flight=in_flight),
        lambda: native.embed(texts, apart=True),
        SINGLE_PAIRS,
    )
    return Row(f"1 text, {'others under way' if in_flight else 'then the next'}", _words(pairs, len(texts)))


def _together(worker: Client, native: Native, texts: Sequence[str], pairs: int) -> Row:
    measured = alternate(lambda: worker.embed(texts)[0], lambda: native.embed(texts), pairs)
    return Row(f"{len(texts):,} texts in one request", _words(measured, len(texts)))


def _words(pairs: Sequence[tuple[Cost, Embedded]], n_texts: int) -> str:
    whole = Share([(own, loop.cost) for own, loop in pairs])
    of_tokens = Share([(own, loop.cost_of_tokens) for own, loop in pairs])
    return f"{whole} of the C loop ({of_tokens.wall:.1%} of one given tokens), {whole.rate(n_texts)} texts/s"


def _ping(worker: Client) -> Row:
    seconds = statistics.median(worker.ping() for _ in range(200))
    return Row("a ping, for comparison", f"{1e6 * seconds:.0f} µs")


def _check(worker: Client, native: Native, texts: Sequence[str]) -> None:
    """Raise RuntimeError unless both sides compute the same vectors, of 22 tokens a text."""
    ours = worker.embed(texts)[1]
    if set(ours.token_counts) != {22}:
        raise RuntimeError("The texts have other lengths than the figures are meant for.")
    pairs = zip(array("f", ours.vectors), array("f", native.embed(texts).vectors), strict=True)
    if max(abs(a - b) for a, b in pairs) > _TOLERANCE:
        raise RuntimeError("The worker and the C loop computed different vectors.")
