"""Reaching an endpoint and choosing a model there."""

from __future__ import annotations

import msgspec
import pytest
from openai_server import OpenAiServer, Reply, model, models
from remote_talk import ASK, KEY, Waits

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import Failed, InstanceState, LoadSpec, Ready, Stopped
from kobold_tui.engine.remote.engine import RemoteEngine


async def test_an_endpoint_is_ready_once_its_model_was_found(engine: RemoteEngine, spec: LoadSpec) -> None:
    states: list[InstanceState] = []
    engine.watch(states.append)
    info = await engine.ensure_ready(spec)
    assert [type(state).__name__ for state in states] == ["Starting", "Loading", "Ready"]
    assert (info.name, engine.state, engine.pid) == ("tiny", Ready(info), None)
    await engine.stop()
    assert engine.state == Stopped()


async def test_the_named_model_is_chosen_and_asked_by_its_name(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec
) -> None:
    server.answers["/v1/models"] = [models(model("a"), model("b", max_model_len=32768))]
    named = msgspec.structs.replace(spec, endpoint=Endpoint(url=server.url, model="b"))
    assert (await engine.ensure_ready(named)).n_ctx == 32768
    _ = [event async for event in engine.generate(ASK)]
    assert server.asked_at("/v1/chat/completions")[0].body["model"] == "b"


@pytest.mark.parametrize("wanted", ["", "c"])
async def test_a_choice_that_is_open_or_wrong_lists_what_there_is(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec, wanted: str
) -> None:
    server.answers["/v1/models"] = [models(model("a"), model("b"))]
    open_choice = msgspec.structs.replace(spec, endpoint=Endpoint(url=server.url, model=wanted))
    with pytest.raises(EngineError, match="a, b"):
        await engine.ensure_ready(open_choice)
    assert isinstance(engine.state, Failed)


@pytest.mark.parametrize(
    "answer", [Reply([]), Reply({"data": 3}), Reply(b"<html>"), Reply({"data": [{"id": 5}]})]
)
async def test_what_is_no_list_of_models_is_an_error_in_words(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec, answer: Reply
) -> None:
    server.answers["/v1/models"] = [answer]
    with pytest.raises(EngineError, match=r"127\.0\.0\.1"):
        await engine.ensure_ready(spec)


async def test_the_context_of_a_llama_server_is_asked_for(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec
) -> None:
    server.answers["/v1/models"] = [models(model(owner="llamacpp", meta={"n_embd": 64, "n_params": 9}))]
    server.answers["/props"] = [Reply({"default_generation_settings": {"n_ctx": 4096}})]
    info = await engine.ensure_ready(spec)
    assert (info.n_ctx, info.n_embd, info.n_parameters) == (4096, 64, 9)


async def test_a_server_that_is_not_there_is_tried_again_and_then_said(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec, waits: Waits
) -> None:
    await server.close()
    with pytest.raises(EngineError, match="No connection"):
        await engine.ensure_ready(spec)
    assert waits.seconds == [0.5, 1.0]
    await server.open()
    assert (await engine.ensure_ready(spec)).name == "tiny"


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "http://", "localhost", "http://me:pw@host/v1", "http://h/v1?key=x", "http://h:x"]
)
async def test_an_address_that_is_none_is_refused_before_anything_is_sent(
    engine: RemoteEngine, url: str
) -> None:
    with pytest.raises(EngineError) as refused:
        await engine.ensure_ready(LoadSpec(path="x", endpoint=Endpoint(url=url)))
    assert "pw" not in str(refused.value)


async def test_a_redirect_is_not_followed_and_the_key_stays_here(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec
) -> None:
    async with OpenAiServer() as elsewhere:
        target = f"{elsewhere.url}/models?k={KEY}"
        server.answers["/v1/models"] = [Reply({}, 307, {"location": target})]
        with pytest.raises(EngineError, match="elsewhere") as refused:
            await engine.ensure_ready(spec)
        assert KEY not in str(refused.value)
        assert elsewhere.asked == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503])
async def test_every_refusal_quotes_the_server_and_never_the_key(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec, status: int
) -> None:
    complaint = {"error": {"message": f"bad key {KEY}\x1b[31m", "code": status}}
    server.answers["/v1/models"] = [Reply(complaint, status)]
    with pytest.raises(EngineError, match=f"status {status}") as refused:
        await engine.ensure_ready(spec)
    shown = f"{refused.value} {refused.value.hint} {engine.log_tail} {engine.state}"
    assert "bad key ***" in shown
    assert KEY not in shown
    assert "\x1b" not in shown
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_key_on_an_open_line_is_noted(engine: RemoteEngine, spec: LoadSpec) -> None:
    await engine.ensure_ready(spec)
    assert not engine.log_tail
    far = LoadSpec(path="x", endpoint=Endpoint(url="http://host.invalid:1/v1"))
    engine._open(far)
    assert engine.log_tail == ("The key travels to host.invalid:1 without encryption.",)
