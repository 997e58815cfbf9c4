"""Vectors and scores from an endpoint: checked, put in order, and normalised here."""

from __future__ import annotations

import array
import math
import sys
from typing import Any

from kobold_tui.domain.generation import Embeddings, EmbedRequest, RerankRequest, Scores
from kobold_tui.engine.remote import words
from kobold_tui.engine.remote.host import RemoteHost

TEXTS_PER_REQUEST = 64
_MAX_EMBD = 65536


async def embed(host: RemoteHost, request: EmbedRequest) -> Embeddings:
    """Return one vector a text, in order. Raises EngineError."""
    rows: list[array.array[float]] = []
    counts: list[int] = []
    for start in range(0, len(request.texts), TEXTS_PER_REQUEST):
        texts = list(request.texts[start : start + TEXTS_PER_REQUEST])
        body = {"model": host.model, "input": texts, "encoding_format": "float"}
        answer = await host.http.post(f"{host.endpoint.base_url}/embeddings", body)
        rows += _in_order(host, answer, "embedding", len(texts))
        counts += _token_counts(answer, len(texts))
    n_embd = len(rows[0]) if rows else 0
    if any(len(row) != n_embd for row in rows):
        raise words.nonsense(host.endpoint, "vectors of different lengths")
    told = tuple(counts) if len(counts) == len(rows) else ()
    return Embeddings(
        n_embd=n_embd,
        pooling="",
        normalized=request.normalize,
        token_counts=told,
        vectors=b"".join(_bytes(_normalized(row) if request.normalize else row) for row in rows),
    )


async def rerank(host: RemoteHost, request: RerankRequest) -> Scores:
    """Return one score a document, in order. Raises EngineError."""
    body = {"model": host.model, "query": request.query, "documents": list(request.documents)}
    answer = await host.http.post(f"{host.endpoint.base_url}/rerank", body)
    results = answer.get("results") if isinstance(answer, dict) else None
    scores: dict[int, float] = {}
    for row in results if isinstance(results, list) else ():
        index, score = (
            (row.get("index"), row.get("relevance_score")) if isinstance(row, dict) else (None, None)
        )
        if isinstance(index, int) and isinstance(score, int | float):
            scores[index] = float(score)
    if sorted(scores) != list(range(len(request.documents))):
        raise words.nonsense(host.endpoint, "scores that do not belong to the documents")
    return Scores(scores=tuple(scores[index] for index in range(len(scores))), token_counts=())


def _in_order(host: RemoteHost, answer: Any, key: str, expected: int) -> list[array.array[float]]:
    data = answer.get("data") if isinstance(answer, dict) else None
    rows: dict[int, array.array[float]] = {}
    for place, row in enumerate(data if isinstance(data, list) else ()):
        index = row.get("index", place) if isinstance(row, dict) else None
        vector = _vector(row.get(key)) if isinstance(row, dict) else None
        if isinstance(index, int) and vector is not None:
            rows[index] = vector
    if sorted(rows) != list(range(expected)):
        raise words.nonsense(host.endpoint, "vectors that do not belong to the texts")
    return [rows[index] for index in range(expected)]


def _vector(value: object) -> array.array[float] | None:
    """Return a vector of finite numbers, else None."""
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_EMBD:
        return None
    try:
        vector = array.array("f", value)
    except (TypeError, OverflowError):
        return None
    return vector if all(map(math.isfinite, vector)) else None


def _token_counts(answer: Any, texts: int) -> list[int]:
    """Return the tokens of a text that was alone in its request; of several only the sum is told."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return [count] if texts == 1 and isinstance(count, int) and count >= 0 else []


def _normalized(row: array.array[float]) -> array.array[float]:
    length = math.sqrt(math.fsum(value * value for value in row))
    return array.array("f", (value / length for value in row)) if length else row


def _bytes(row: array.array[float]) -> bytes:
    if sys.byteorder == "big":
        row = row[:]
        row.byteswap()
    return row.tobytes()
