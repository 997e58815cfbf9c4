"""Scores of documents by a query, with a model whose pooling is rank.

A query and a document are one text to such a model: [CLS] query [SEP] document [SEP], or the vocabulary's own
marks in these places. llama.cpp gives every token the type 0, so the scores of models that were trained with
token types differ a little from those of their authors.
"""

from __future__ import annotations

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import RerankRequest, Scores
from kobold_tui.engine.worker.backend import IsCancelled
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.embed import Embedder
from kobold_tui.engine.worker.vocab import Vocab


def rerank(
    embedder: Embedder, vocab: Vocab, name: str, request: RerankRequest, cancelled: IsCancelled
) -> Scores:
    """Return one score for each document. Raises EngineError for a model that does not score."""
    if embedder.pooling != "rank":
        raise EngineError(
            "No reranker",
            f"{name} was loaded with pooling {embedder.pooling} and scores no documents.",
            "Choose a reranker model, or load this one with pooling rank if it has a classifier.",
        )
    pairs = _pairs(vocab, name, request, embedder.limit)
    scores = tuple(vector[0] for vector in embedder.vectors(pairs, cancelled))
    return Scores(scores=scores, token_counts=tuple(len(pair) for pair in pairs))


def _pairs(vocab: Vocab, name: str, request: RerankRequest, limit: int) -> list[list[int]]:
    """Return the tokens of the query with each document, none longer than `limit`."""
    query = vocab.tokenize(request.query, add_special=True, parse_special=False)
    if C.llama_vocab_get_add_sep(vocab.handle) and C.llama_vocab_get_add_eos(vocab.handle):
        query.append(C.llama_vocab_sep(vocab.handle))
    pairs = []
    for number, text in enumerate(request.documents, 1):
        document = _document(vocab, text)
        room = limit - len(query)
        if len(document) > room:
            if not request.truncate or room < 2:
                raise _too_long(name, number, text, len(query) + len(document), limit)
            document = [*document[: room - 1], document[-1]]
        pairs.append(query + document)
    return pairs


def _document(vocab: Vocab, text: str) -> list[int]:
    tokens = vocab.tokenize(text, add_special=True, parse_special=False)
    return tokens[1:] if tokens[:1] == [vocab.bos] else tokens


def _too_long(name: str, number: int, text: str, n_tokens: int, limit: int) -> EngineError:
    return EngineError(
        "Document too long",
        f"Document {number} ({text[:40]!r}…) and the query have {n_tokens:,} tokens; {name} takes {limit:,}.",
        "Shorten it, allow truncation, or load the model with a larger micro-batch (n_ubatch).",
    )
