"""Vectors, scores and tokens of an endpoint."""

from __future__ import annotations

import array
import math
from typing import Any

import pytest
from openai_server import OpenAiServer, Reply, model, models

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import EmbedRequest, Message, RerankRequest
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.engine.remote.engine import RemoteEngine

EMBED = "/v1/embeddings"


def rows(*vectors: list[Any]) -> Reply:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return Reply({"data": data[::-1], "usage": {"prompt_tokens": 5}})


async def test_vectors_come_in_the_order_of_the_texts_and_normalised(
    server: OpenAiServer, ready: RemoteEngine
) -> None:
    server.answers[EMBED] = [rows([3.0, 4.0], [0.0, 2.0])]
    found = await ready.embed(EmbedRequest(texts=("a", "b")))
    assert (found.n_embd, found.normalized, found.token_counts) == (2, True, ())
    assert array.array("f", found.vectors).tolist() == pytest.approx([0.6, 0.8, 0.0, 1.0])


async def test_vectors_can_be_left_as_they_are(server: OpenAiServer, ready: RemoteEngine) -> None:
    server.answers[EMBED] = [rows([3.0, 4.0])]
    found = await ready.embed(EmbedRequest(texts=("a",), normalize=False))
    assert array.array("f", found.vectors).tolist() == [3.0, 4.0]
    assert found.token_counts == (5,)


async def test_many_texts_go_in_several_requests(server: OpenAiServer, ready: RemoteEngine) -> None:
    server.answers[EMBED] = [rows(*([float(n), 1.0] for n in range(64))), rows([64.0, 1.0])]
    found = await ready.embed(EmbedRequest(texts=tuple(map(str, range(65))), normalize=False))
    assert [len(asked.body["input"]) for asked in server.asked_at(EMBED)] == [64, 1]
    assert array.array("f", found.vectors)[::2].tolist() == [float(n) for n in range(65)]


@pytest.mark.parametrize(
    "answer",
    [
        Reply({}),
        Reply([]),
        rows([1.0]),
        rows([1.0], [1.0, 2.0]),
        rows([1.0], [math.nan]),
        rows([1.0], ["x"]),
        rows([1.0], []),
        Reply({"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}),
    ],
)
async def test_vectors_that_cannot_be_right_are_refused(
    server: OpenAiServer, ready: RemoteEngine, answer: Reply
) -> None:
    server.answers[EMBED] = [answer]
    with pytest.raises(EngineError, match="vectors"):
        await ready.embed(EmbedRequest(texts=("a", "b")))


async def test_documents_are_scored_in_their_order(server: OpenAiServer, ready: RemoteEngine) -> None:
    found = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": -2}]
    server.answers["/v1/rerank"] = [Reply({"results": found})]
    scores = await ready.rerank(RerankRequest(query="q", documents=("a", "b")))
    assert scores.scores == (-2.0, 0.9)
    server.answers["/v1/rerank"] = [Reply({"results": found[:1]})]
    with pytest.raises(EngineError, match="scores"):
        await ready.rerank(RerankRequest(query="q", documents=("a", "b")))


async def test_an_endpoint_without_a_reranker_says_so(ready: RemoteEngine) -> None:
    with pytest.raises(EngineError, match="404"):
        await ready.rerank(RerankRequest(query="q", documents=("a",)))


@pytest.mark.parametrize(
    ("owner", "path"),
    [("llamacpp", "/tokenize"), ("vllm", "/tokenize"), ("koboldcpp", "/api/extra/tokencount")],
)
async def test_tokens_are_those_of_the_server(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec, owner: str, path: str
) -> None:
    answer = {"value": 2, "ids": [1, 2]} if owner == "koboldcpp" else {"tokens": [1, 2]}
    server.answers["/v1/models"] = [models(model(owner=owner))]
    server.answers[path] = [Reply(answer), Reply({"tokens": ["x"], "ids": None})]
    await engine.ensure_ready(spec)
    assert await engine.tokenize("some text") == (1, 2)
    with pytest.raises(EngineError, match="token ids"):
        await engine.tokenize("some text")


async def test_a_llama_server_shows_its_prompt(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec
) -> None:
    server.answers["/v1/models"] = [models(model(owner="llamacpp"))]
    server.answers["/apply-template"] = [Reply({"prompt": "<s>Hi"})]
    server.answers["/tokenize"] = [Reply({"tokens": [1, 7]})]
    server.answers["/detokenize"] = [Reply({"content": "Hi"})]
    await engine.ensure_ready(spec)
    prompt = await engine.render((Message(role="user", content="Hi"),))
    assert (prompt.text, prompt.tokens) == ("<s>Hi", (1, 7))
    assert await engine.detokenize((7,)) == "Hi"


async def test_what_an_endpoint_has_no_way_for_is_said_in_words(ready: RemoteEngine, spec: LoadSpec) -> None:
    for work in (ready.tokenize("x"), ready.detokenize((1,)), ready.render(()), ready.set_lora((1.0,))):
        with pytest.raises(EngineError, match="no way to"):
            await work
    with pytest.raises(EngineError, match="memory"):
        await ready.dry_run(spec)
    await ready.set_lora(())
    assert await ready.ping() >= 0
