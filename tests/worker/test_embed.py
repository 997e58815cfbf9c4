"""Vectors: right size, one for each text in order, and never the end of the process."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import Embeddings, EmbedRequest, GenerateRequest
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]


def embed(backend: LlamaBackend, *texts: str, **options: bool) -> Embeddings:
    return backend.embed(EmbedRequest(texts=texts, **options), lambda: False)


def rows(embeddings: Embeddings) -> list[list[float]]:
    values = array("f")
    values.frombytes(embeddings.vectors)
    n = embeddings.n_embd
    return [list(values[start : start + n]) for start in range(0, len(values), n)]


def test_every_text_has_a_vector_of_length_one(load: LoadBackend, tiny_bert: Path) -> None:
    result = embed(load(tiny_bert), "hello world", "a", "")
    assert (result.n_embd, result.pooling, result.normalized) == (32, "mean", True)
    assert result.token_counts == (12, 3, 2)
    for row in rows(result):
        assert math.hypot(*row) == pytest.approx(1, abs=1e-5)


def test_a_batch_gives_the_same_vectors_as_one_text_at_a_time(load: LoadBackend, tiny_bert: Path) -> None:
    backend = load(tiny_bert)
    texts = [word * (1 + number % 5) for number, word in enumerate(["hello ", "abc ", "xyz "] * 70)]
    together = rows(embed(backend, *texts))
    assert len(together) == 210
    for text, row in list(zip(texts, together, strict=True))[::30]:
        assert rows(embed(backend, text))[0] == pytest.approx(row, abs=2e-3)


def test_a_raw_vector_points_the_same_way(load: LoadBackend, tiny_bert: Path) -> None:
    backend = load(tiny_bert)
    raw, unit = embed(backend, "hello", normalize=False), embed(backend, "hello")
    assert not raw.normalized
    length = math.hypot(*rows(raw)[0])
    assert [value / length for value in rows(raw)[0]] == pytest.approx(rows(unit)[0], abs=1e-6)


def test_a_text_that_is_too_long_is_named(load: LoadBackend, tiny_bert: Path) -> None:
    with pytest.raises(EngineError, match=r"Text 2 \('no no .*has \d+ tokens; tiny-bert-F32.gguf takes 128"):
        embed(load(tiny_bert), "ok", "no " * 100)


def test_truncation_keeps_the_last_special_token(load: LoadBackend, tiny_bert: Path) -> None:
    backend = load(tiny_bert)
    result = embed(backend, "ab " * 100, truncate=True)
    assert result.token_counts == (128,)
    inside = "ab " * 63
    assert backend.tokenize(inside, add_special=True, parse_special=False)[-1] == 3
    assert rows(result)[0] == pytest.approx(rows(embed(backend, inside))[0], abs=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_can_be_chosen(load: LoadBackend, tiny_bert: Path, pooling: str) -> None:
    options = LoadOptions(n_threads=1, pooling=pooling)  # type: ignore[arg-type]  # one of its literals
    result = embed(load(tiny_bert, options=options), "hello world")
    assert result.pooling == pooling
    default = embed(load(tiny_bert), "hello world")
    assert (rows(result) == rows(default)) is (pooling == "mean")


def test_pooling_none_is_refused_in_words(load: LoadBackend, tiny_bert: Path) -> None:
    backend = load(tiny_bert, options=LoadOptions(n_threads=1, pooling="none"))
    with pytest.raises(EngineError, match="pooling none"):
        embed(backend, "x")


def test_an_embedding_model_refuses_to_write(load: LoadBackend, tiny_bert: Path) -> None:
    with pytest.raises(EngineError, match=r"tiny-bert-F32\.gguf is an embedding model"):
        load(tiny_bert).start(1, GenerateRequest(prompt="x"))


def test_a_chat_model_embeds_with_a_note_and_goes_on_writing(backend: LlamaBackend, ask: Ask) -> None:
    request = GenerateRequest(prompt="hello", max_tokens=20, sampling=SamplingOptions(temperature=0))
    before = ask(backend, request).text
    result = embed(backend, "hello world", "something else")
    assert (result.n_embd, result.pooling) == (64, "mean")
    assert "is a chat model" in result.note
    assert ask(backend, request).text == before


def test_a_chat_model_loaded_for_embeddings_does_only_that(load: LoadBackend, tiny_llama: Path) -> None:
    backend = load(tiny_llama, embedding=True)
    result = embed(backend, "hello world")
    assert (result.n_embd, result.pooling, result.note) == (64, "mean", "")
    with pytest.raises(EngineError, match="was loaded for embeddings"):
        backend.start(1, GenerateRequest(prompt="x"))


def test_no_texts_give_no_vectors(load: LoadBackend, tiny_bert: Path) -> None:
    result = embed(load(tiny_bert))
    assert (result.vectors, result.token_counts) == (b"", ())


def test_a_cancel_ends_an_embedding(load: LoadBackend, tiny_bert: Path) -> None:
    backend = load(tiny_bert)
    with pytest.raises(EngineError, match="was cancelled"):
        backend.embed(EmbedRequest(texts=("a", "b")), lambda: True)
    assert embed(backend, "a").token_counts == (3,)
