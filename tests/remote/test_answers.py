"""Answers of an endpoint: streamed, counted, cancelled, broken off."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from openai_server import HELLO, Drop, OpenAiServer, Reply, Stream, delta, end, model, models, usage
from remote_talk import ASK, KEY, Waits, read

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import Finished, GenerateRequest, Message, TextDelta
from kobold_tui.domain.instance import LoadSpec, Ready
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.remote.answer import StreamedAnswer
from kobold_tui.engine.remote.engine import RemoteEngine

CHAT = "/v1/chat/completions"


async def test_an_answer_streams_and_is_counted(server: OpenAiServer, ready: RemoteEngine) -> None:
    text, thought, finished = await read(ready)
    assert (text, thought) == ("Hello there", "")
    assert (finished.reason, finished.usage.prompt_tokens, finished.usage.completion_tokens) == ("stop", 7, 3)
    assert finished.usage.seconds_to_first_token is not None
    body = server.asked_at(CHAT)[0].body
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert (body["stream"], body["max_tokens"], body["temperature"]) == (True, 64, 0.8)


def test_tokens_that_came_in_one_piece_have_no_speed() -> None:
    now = iter((10.0, 11.0, 11.01, 11.02))
    at_once = StreamedAnswer(Endpoint(url="http://127.0.0.1:1/v1"), 64, clock=lambda: next(now))
    for text in ("a", "b", "c"):
        assert list(at_once.read(json.dumps(delta(text)).encode()))
    list(at_once.read(b"[DONE]"))
    assert at_once.finished().usage.tokens_per_second is None
    assert at_once.finished().usage.seconds_to_first_token == 1.0


async def test_thinking_arrives_apart(server: OpenAiServer, ready: RemoteEngine) -> None:
    thought = {"choices": [{"delta": {"reasoning_content": "Hm."}}]}
    also = {"choices": [{"delta": {"reasoning": " So."}}]}
    server.answers[CHAT] = [Stream([thought, also, delta("Yes"), end("length")])]
    text, thinking, finished = await read(ready)
    assert (text, thinking, finished.reason) == ("Yes", "Hm. So.", "length")


async def test_a_raw_prompt_goes_to_completions(server: OpenAiServer, ready: RemoteEngine) -> None:
    pieces = [{"choices": [{"text": " on"}]}, {"choices": [{"text": " and on", "finish_reason": "length"}]}]
    server.answers["/v1/completions"] = [Stream(pieces)]
    text, _, finished = await read(ready, GenerateRequest(prompt="Go", max_tokens=5, stop=("x",)))
    assert (text, finished.reason) == (" on and on", "length")
    assert server.asked_at("/v1/completions")[0].body["prompt"] == "Go"
    assert server.asked_at("/v1/completions")[0].body["stop"] == ["x"]


async def test_logprobs_are_those_of_the_pieces(server: OpenAiServer, ready: RemoteEngine) -> None:
    row = {"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Ho", "logprob": -1.5}, {"token": 3}]}
    server.answers[CHAT] = [Stream([delta("Hi", logprobs={"content": [row]}), end()])]
    events = [event async for event in ready.generate(msgspec.structs.replace(ASK, logprobs=2))]
    assert isinstance(events[0], TextDelta)
    assert [(one.text, one.logprob) for one in events[0].logprobs] == [("Hi", -0.5)]
    assert events[0].logprobs[0].alternatives == ((-1, "Ho", -1.5),)
    assert server.asked_at(CHAT)[0].body["top_logprobs"] == 2


async def test_images_travel_as_data(server: OpenAiServer, ready: RemoteEngine) -> None:
    message = Message(role="user", content="What?", images=(b"\x89PNG123",))
    await read(ready, GenerateRequest(messages=(message,)))
    content = server.asked_at(CHAT)[0].body["messages"][0]["content"]
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,iVBORzEyMw")


@pytest.mark.parametrize("then", ["drop", "close"])
async def test_a_lost_connection_costs_one_answer_and_the_next_connects_anew(
    server: OpenAiServer, ready: RemoteEngine, then: str
) -> None:
    server.answers[CHAT] = [Stream([delta("Hel")], then), HELLO]
    answer = ready.generate(ASK)
    first = await anext(answer)
    assert isinstance(first, TextDelta)
    assert first.text == "Hel"
    with pytest.raises(EngineError, match="not complete"):
        await anext(answer)
    assert isinstance(ready.state, Ready)
    assert (await read(ready))[0] == "Hello there"
    assert len(server.asked_at(CHAT)) == 2, "what was begun is never asked for again by itself"


async def test_a_restarted_server_is_found_again(server: OpenAiServer, ready: RemoteEngine) -> None:
    await read(ready)
    await server.close()
    await server.open()
    assert (await read(ready))[0] == "Hello there"


async def test_closing_an_answer_closes_the_connection(server: OpenAiServer, ready: RemoteEngine) -> None:
    server.answers[CHAT] = [Stream([delta("on and on")], "hang"), HELLO]
    answer = ready.generate(ASK)
    assert isinstance(await anext(answer), TextDelta)
    await answer.aclose()
    async with asyncio.timeout(20):
        await server.left.wait()
    assert (await read(ready))[0] == "Hello there"


async def test_a_cancelled_reader_closes_the_connection(server: OpenAiServer, ready: RemoteEngine) -> None:
    server.answers[CHAT] = [Stream([], "hang")]
    reader = asyncio.create_task(read(ready))
    async with asyncio.timeout(20):
        while not server.asked_at(CHAT):  # noqa: ASYNC110 - the server sets no event for it
            await asyncio.sleep(0)
        reader.cancel()
        await server.left.wait()


@pytest.mark.parametrize(
    "first", [Drop(), Reply({}, 429, {"retry-after": "7"}), Reply({}, 502), Reply({}, 503), Reply({}, 504)]
)
async def test_what_may_pass_is_tried_again_with_growing_waits(
    server: OpenAiServer, ready: RemoteEngine, waits: Waits, first: Reply | Drop
) -> None:
    server.answers[CHAT] = [first, Reply({}, 503), HELLO]
    assert (await read(ready))[0] == "Hello there"
    asked_to_wait = isinstance(first, Reply) and "retry-after" in first.headers
    assert waits.seconds == [7.0 if asked_to_wait else 0.5, 1.0]
    assert len(ready.log_tail) == 2


async def test_a_wait_asked_for_is_bounded(server: OpenAiServer, ready: RemoteEngine, waits: Waits) -> None:
    server.answers[CHAT] = [Reply({}, 429, {"retry-after": "1e9"}), HELLO]
    await read(ready)
    assert waits.seconds == [30.0]


async def test_what_will_not_pass_is_not_tried_again(
    server: OpenAiServer, ready: RemoteEngine, waits: Waits
) -> None:
    server.answers[CHAT] = [Reply({"detail": "too long"}, 400)]
    with pytest.raises(EngineError, match="too long"):
        await read(ready)
    assert waits.seconds == []


@pytest.mark.parametrize(
    "events",
    [
        [b"data: {broken\n\n"],
        [b"data: [1, 2]\n\n"],
        [b"data: \xff\xfe\n\n"],
        [{"error": {"message": "out of memory", "code": 500}}],
        [b"data: " + b"[" * 100_000 + b"\n\n"],
        [b"data: " + b"x" * (9 * 1024 * 1024)],
    ],
)
async def test_nonsense_in_a_stream_is_an_error_in_words(
    server: OpenAiServer, ready: RemoteEngine, events: list[object]
) -> None:
    server.answers[CHAT] = [Stream(events)]
    with pytest.raises(EngineError, match=r"127\.0\.0\.1"):
        await read(ready)
    assert isinstance(ready.state, Ready)


async def test_odd_but_harmless_events_are_passed_over(server: OpenAiServer, ready: RemoteEngine) -> None:
    odd = [{}, {"choices": None}, {"choices": [3]}, {"choices": [{"delta": {"content": None}}]}, {"usage": 3}]
    raw = [b": comment\r\n\r\n", b"event: x\r\ndata: \xf0\x9f\n\n".replace(b"\xf0\x9f", b"{}")]
    server.answers[CHAT] = [Stream([*odd, *raw, delta("ok \ud83d"), end(), usage(-1, 10**30)])]
    text, _, finished = await read(ready)
    assert text == "ok ?"
    assert finished.usage.prompt_tokens == 0
    assert finished.usage.completion_tokens == 1


async def test_a_server_that_never_stops_is_cut_off(server: OpenAiServer, ready: RemoteEngine) -> None:
    server.answers[CHAT] = [Stream([delta("x")] * 500, "hang")]
    text, _, finished = await read(ready, msgspec.structs.replace(ASK, max_tokens=10))
    assert finished.reason == "length"
    assert "did not stop" in finished.note
    assert len(text) <= 4 * 10 + 64


async def test_options_that_a_server_cannot_be_told_are_said_once(
    server: OpenAiServer, ready: RemoteEngine
) -> None:
    drawn = msgspec.structs.replace(ASK, sampling=SamplingOptions(min_p=0.2, xtc_probability=0.5, seed=4))
    _, _, first = await read(ready, drawn)
    _, _, again = await read(ready, drawn)
    assert "knows no min_p, xtc_probability." in first.note
    assert again.note == ""
    assert server.asked_at(CHAT)[0].body["seed"] == 4


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("llamacpp", ("repeat_penalty", "grammar")),
        ("vllm", ("repetition_penalty", "structured_outputs")),
        ("koboldcpp", ("rep_pen", "grammar")),
    ],
)
async def test_known_servers_get_samplers_under_their_names(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec, owner: str, names: tuple[str, str]
) -> None:
    name, grammar = names
    server.answers["/v1/models"] = [models(model(owner=owner))]
    await engine.ensure_ready(spec)
    sampling = SamplingOptions(repeat_penalty=1.2, min_p=0.1, grammar='root ::= "x"', banned_tokens=(5,))
    _, _, finished = await read(engine, msgspec.structs.replace(ASK, sampling=sampling))
    body = server.asked_at(CHAT)[0].body
    assert (body[name], body["min_p"], body["logit_bias"]) == (1.2, 0.1, {"5": -100.0})
    assert grammar in body
    assert finished.note == ""


@pytest.mark.parametrize(
    ("owner", "key"), [("vllm", "continue_final_message"), ("koboldcpp", "continue_assistant_turn")]
)
async def test_the_beginning_of_an_answer_is_given_where_that_works(
    server: OpenAiServer, engine: RemoteEngine, spec: LoadSpec, owner: str, key: str
) -> None:
    server.answers["/v1/models"] = [models(model(owner=owner))]
    await engine.ensure_ready(spec)
    await read(engine, msgspec.structs.replace(ASK, prefill="Well,"))
    body = server.asked_at(CHAT)[0].body
    assert body[key] is True
    assert body["messages"][-1] == {"role": "assistant", "content": "Well,"}


async def test_the_beginning_of_an_answer_is_refused_elsewhere(ready: RemoteEngine) -> None:
    with pytest.raises(EngineError, match="begin an answer"):
        await read(ready, msgspec.structs.replace(ASK, prefill="Well,"))


async def test_names_that_a_server_complains_about_are_changed(
    server: OpenAiServer, ready: RemoteEngine
) -> None:
    server.answers[CHAT] = [
        Reply({"error": {"message": "use max_completion_tokens instead of max_tokens"}}, 400),
        Reply({"error": {"message": "unknown field stream_options"}}, 422),
        HELLO,
    ]
    assert (await read(ready))[0] == "Hello there"
    body = server.asked_at(CHAT)[-1].body
    assert body["max_completion_tokens"] == 64
    assert not {"max_tokens", "stream_options"} & set(body)


async def test_nothing_that_is_shown_or_logged_holds_the_key(
    server: OpenAiServer, ready: RemoteEngine
) -> None:
    server.answers[CHAT] = [Stream([{"error": {"message": f"no {KEY}"}}])]
    with pytest.raises(EngineError) as failed:
        await read(ready)
    assert KEY not in f"{failed.value} {ready.log_tail} {ready.state} {ready.spec!r} {ready!r}"


async def test_the_speed_of_a_llama_server_is_its_own_figure(
    server: OpenAiServer, ready: RemoteEngine
) -> None:
    timings = {"timings": {"predicted_per_second": 55.5, "prompt_per_second": 900.0, "cache_n": 4}}
    server.answers[CHAT] = [Stream([delta("a"), end() | timings, usage(9, 1)])]
    finished = (await read(ready))[2]
    assert isinstance(finished, Finished)
    assert (finished.usage.tokens_per_second, finished.usage.cached_tokens) == (55.5, 4)
