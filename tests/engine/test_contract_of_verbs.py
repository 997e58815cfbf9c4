"""Verbs beside text and vectors: scores, adapters and tools, on every kind of engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import Message, RerankRequest
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.engine.protocol import Engine

QUERY = RerankRequest(query="red fox", documents=("a red fox", "a blue sea", "red"))


async def test_documents_are_scored_or_the_model_says_that_it_cannot(
    engine: Engine, kind: str, model_path: Path
) -> None:
    await engine.ensure_ready(LoadSpec(path=str(model_path)))
    if kind == "llama":
        with pytest.raises(EngineError, match="scores no documents"):
            await engine.rerank(QUERY)
        return
    best, worst, middle = (await engine.rerank(QUERY)).scores
    assert best > middle > worst


async def test_scales_must_be_as_many_as_the_adapters(engine: Engine, model_path: Path) -> None:
    await engine.ensure_ready(LoadSpec(path=str(model_path)))
    await engine.set_lora(())
    with pytest.raises(EngineError, match="1 scales were given for"):
        await engine.set_lora((1.0,))


async def test_verbs_need_a_model(engine: Engine) -> None:
    with pytest.raises(EngineError):
        await engine.rerank(QUERY)
    with pytest.raises(EngineError):
        await engine.set_lora(())


async def test_tools_are_passed_to_the_template(engine: Engine, kind: str, model_path: Path) -> None:
    await engine.ensure_ready(LoadSpec(path=str(model_path)))
    messages, tools = (Message(role="user", content="hi"),), json.dumps([{"name": "x"}])
    if kind == "llama":
        with pytest.raises(EngineError, match="takes none"):
            await engine.render(messages, tools_json=tools)
    else:
        assert "hi" in (await engine.render(messages, tools_json=tools)).text
