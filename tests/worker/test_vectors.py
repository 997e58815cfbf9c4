"""Vectors and scores are those of independent implementations: numpy for random weights, torch for MiniLM."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy_bert import NumpyBert
from tiny_extras import write_tiny_reranker

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import EmbedRequest, RerankRequest
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.engine.worker.llama_backend import LlamaBackend
from tools.make_minilm import model_path

LoadBackend = Callable[..., LlamaBackend]
TEXTS = ("hello world", "a", "the quick brown fox jumps over the lazy dog", "")
QUERY, DOCUMENTS = "what is a fox", ("a fox is a small animal", "the sea is wide", "fox")


@pytest.fixture(scope="session")
def reranker(model_folder: Path) -> Path:
    return write_tiny_reranker(model_folder / "tiny-reranker-F32.gguf")


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooled_vectors_are_those_of_a_bert_in_numpy(
    load: LoadBackend, tiny_bert: Path, pooling: str
) -> None:
    options = LoadOptions(n_threads=1, pooling=pooling)  # type: ignore[arg-type]  # one of its literals
    backend = load(tiny_bert, options=options)
    result = backend.embed(EmbedRequest(texts=TEXTS), lambda: False)
    vectors = np.frombuffer(result.vectors, "<f4").reshape(len(TEXTS), -1)
    reference = NumpyBert(tiny_bert)
    for text, vector in zip(TEXTS, vectors, strict=True):
        tokens = backend.tokenize(text, add_special=True, parse_special=False)
        assert np.abs(vector - reference.pooled(tokens, pooling)).max() < 1e-3


def rerank(backend: LlamaBackend, *documents: str, query: str = QUERY, truncate: bool = False) -> list[float]:
    request = RerankRequest(query=query, documents=documents, truncate=truncate)
    return list(backend.rerank(request, lambda: False).scores)


def test_scores_are_those_of_a_classifier_in_numpy(load: LoadBackend, reranker: Path) -> None:
    backend, reference = load(reranker), NumpyBert(reranker)
    expected = []
    for document in DOCUMENTS:
        left, right = (
            backend.tokenize(text, add_special=True, parse_special=False) for text in (QUERY, document)
        )
        assert (left[0], left[-1]) == (2, 3)
        expected.append(reference.score([*left, *right[1:]]))
    assert rerank(backend, *DOCUMENTS) == pytest.approx(expected, abs=0.01)
    assert len(set(expected)) == len(DOCUMENTS)


def test_scores_do_not_depend_on_the_company(load: LoadBackend, reranker: Path) -> None:
    backend = load(reranker)
    together = rerank(backend, *DOCUMENTS * 40)
    assert together[-3:] == pytest.approx([rerank(backend, text)[0] for text in DOCUMENTS], abs=0.01)


def test_a_document_that_is_too_long_is_named_or_cut(load: LoadBackend, reranker: Path) -> None:
    backend = load(reranker)
    with pytest.raises(EngineError, match=r"Document 2 \('ab ab .*have \d+ tokens; tiny-reranker-F32"):
        rerank(backend, "ok", "ab " * 100)
    n_query = len(backend.tokenize(QUERY, add_special=True, parse_special=False))
    rest = 128 - n_query - 1
    as_cut = ("ab " * 64)[: rest // 2 * 3] + "a" * (rest % 2)
    request = RerankRequest(query=QUERY, documents=("ab " * 100,), truncate=True)
    cut = backend.rerank(request, lambda: False)
    assert cut.token_counts == (128,)
    assert cut.scores[0] == pytest.approx(rerank(backend, as_cut)[0], abs=1e-4)


def test_a_query_that_leaves_no_room_is_refused_even_where_truncation_is_allowed(
    load: LoadBackend, reranker: Path
) -> None:
    with pytest.raises(EngineError, match="Document 1"):
        rerank(load(reranker), "fox", query="why " * 60, truncate=True)


def test_a_model_without_classifier_scores_nothing(load: LoadBackend, tiny_bert: Path) -> None:
    with pytest.raises(EngineError, match=r"tiny-bert-F32\.gguf was loaded with pooling mean"):
        rerank(load(tiny_bert), "x")


def test_no_documents_have_no_scores(load: LoadBackend, reranker: Path) -> None:
    assert rerank(load(reranker)) == []


@pytest.mark.parametrize(("kind", "tolerance"), [("f16", 0.002), ("q8_0", 0.01)])
def test_minilm_agrees_with_sentence_transformers(load: LoadBackend, kind: str, tolerance: float) -> None:
    if not model_path(kind).exists():
        pytest.skip("needs all-MiniLM-L6-v2, 83 MB to download: make models")
    data = Path(__file__).parents[1] / "data" / "minilm_pairs.json"
    pairs = json.loads(data.read_text(encoding="utf-8"))["pairs"]
    backend = load(model_path(kind))
    texts = tuple(text for pair in pairs for text in (pair["left"], pair["right"]))
    vectors = array("f", backend.embed(EmbedRequest(texts=texts), lambda: False).vectors)
    matrix = np.array(vectors).reshape(len(texts), -1)
    cosines = (matrix[::2] * matrix[1::2]).sum(axis=1)
    assert len(pairs) == 12
    assert cosines == pytest.approx([pair["cosine"] for pair in pairs], abs=tolerance)
