"""What every engine promises, tried on the fake, on a scripted worker process and on llama.cpp itself."""

from __future__ import annotations

import array
import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import (
    EmbedRequest,
    Finished,
    GenerateEvent,
    GenerateRequest,
    Message,
    TextDelta,
)
from kobold_tui.domain.instance import (
    Failed,
    InstanceState,
    LoadSpec,
    ModelInfo,
    Ready,
    Starting,
    Stopped,
)
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.protocol import Engine

Watched = Callable[[Engine], list[InstanceState]]
Collect = Callable[[Engine, GenerateRequest], Awaitable[tuple[str, Finished]]]
Gone = Callable[[int], bool]

GREEDY = SamplingOptions(temperature=0)
TEXT = "one two three"
SHORT = GenerateRequest(prompt=TEXT, sampling=GREEDY, max_tokens=8)
ENDLESS = GenerateRequest(prompt="endless", sampling=GREEDY, max_tokens=100_000)
"""Far more tokens than any test reads."""


@pytest.fixture
def spec(model_path: Path) -> LoadSpec:
    return LoadSpec(path=str(model_path), options=LoadOptions(n_ctx=4096, n_threads=1))


@pytest.fixture
def other(spec: LoadSpec) -> LoadSpec:
    """The same model with a smaller context."""
    return msgspec.structs.replace(spec, options=LoadOptions(n_ctx=1024, n_threads=1))


@pytest.fixture
def missing(spec: LoadSpec) -> LoadSpec:
    return LoadSpec(path=f"{spec.path}.missing")


@pytest.fixture
async def loaded(engine: Engine, spec: LoadSpec) -> Engine:
    await engine.ensure_ready(spec)
    return engine


def names(states: list[InstanceState]) -> list[str]:
    """The kinds of states in order, repeated ones once."""
    kinds = [type(state).__name__ for state in states]
    return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]


async def test_a_load_goes_through_its_states_in_order(
    engine: Engine, spec: LoadSpec, watched: Watched
) -> None:
    assert engine.state == Stopped()
    assert (engine.pid, engine.spec) == (None, None)
    states = watched(engine)
    info = await engine.ensure_ready(spec)
    assert names(states) == ["Starting", "Loading", "Ready"]
    assert engine.state == states[-1] == Ready(info)
    assert engine.spec == spec
    assert info.n_ctx == 4096
    assert info.n_embd > 0


async def test_what_is_loaded_is_not_loaded_again(engine: Engine, spec: LoadSpec, watched: Watched) -> None:
    info = await engine.ensure_ready(spec)
    states = watched(engine)
    assert await engine.ensure_ready(spec) == info
    assert states == []


async def test_callers_at_the_same_time_share_one_load(
    engine: Engine, spec: LoadSpec, watched: Watched
) -> None:
    states = watched(engine)
    infos = await asyncio.gather(*(engine.ensure_ready(spec) for _ in range(3)))
    assert infos == [infos[0]] * 3
    assert names(states) == ["Starting", "Loading", "Ready"]


async def test_other_options_restart_the_model(
    engine: Engine, spec: LoadSpec, other: LoadSpec, watched: Watched
) -> None:
    await engine.ensure_ready(spec)
    states = watched(engine)
    info = await engine.ensure_ready(other)
    assert info.n_ctx == 1024
    assert names(states) == ["Stopping", "Stopped", "Starting", "Loading", "Ready"]


async def test_an_answer_ends_with_exactly_one_finished(loaded: Engine) -> None:
    events = [event async for event in loaded.generate(SHORT)]
    ends = [event for event in events if isinstance(event, Finished)]
    assert ends == events[-1:]
    n_tokens = sum(event.n_tokens for event in events if isinstance(event, TextDelta))
    assert ends[0].reason in {"stop", "length"}
    assert 0 < n_tokens <= ends[0].usage.completion_tokens <= SHORT.max_tokens
    assert ends[0].usage.prompt_tokens > 0


async def test_an_answer_stops_at_its_length(loaded: Engine, collect: Collect) -> None:
    _, finished = await collect(loaded, msgspec.structs.replace(ENDLESS, max_tokens=5))
    assert finished.reason == "length"
    assert finished.usage.completion_tokens == 5


async def test_the_same_greedy_request_gives_the_same_text(loaded: Engine, collect: Collect) -> None:
    first, _ = await collect(loaded, SHORT)
    again, _ = await collect(loaded, SHORT)
    assert first == again != ""


async def test_closing_an_answer_frees_the_engine_for_the_next(loaded: Engine, collect: Collect) -> None:
    alone, _ = await collect(loaded, SHORT)
    for _ in range(6):
        answer = loaded.generate(ENDLESS)
        assert not isinstance(await anext(answer), Finished)
        await answer.aclose()
    after, _ = await collect(loaded, SHORT)
    assert after == alone
    assert isinstance(loaded.state, Ready)


async def test_a_cancelled_reader_cancels_its_answer(loaded: Engine, collect: Collect) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in loaded.generate(ENDLESS):
            begun.set()

    readers = [asyncio.create_task(read()) for _ in range(6)]
    await begun.wait()
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    assert all(reader.cancelled() for reader in readers)
    _, finished = await collect(loaded, SHORT)
    assert finished.reason in {"stop", "length"}


async def test_two_answers_at_once_are_the_same_as_one_after_the_other(
    loaded: Engine, collect: Collect
) -> None:
    other = msgspec.structs.replace(SHORT, prompt="three two one")
    alone = [(await collect(loaded, request))[0] for request in (SHORT, other)]
    together = await asyncio.gather(collect(loaded, SHORT), collect(loaded, other))
    assert [text for text, _ in together] == alone


async def test_tokens_go_back_to_the_same_text(loaded: Engine) -> None:
    tokens = await loaded.tokenize(TEXT)
    assert len(tokens) > 0
    assert (await loaded.detokenize(tokens)).strip() == TEXT
    with_special = await loaded.tokenize(TEXT, add_special=True)
    assert with_special[-len(tokens) :] == tokens
    assert len(with_special) > len(tokens)


async def test_a_rendered_prompt_holds_the_messages_and_their_tokens(loaded: Engine) -> None:
    prompt = await loaded.render([Message(role="user", content=TEXT)])
    assert TEXT in prompt.text
    assert "user" in prompt.text
    assert len(prompt.tokens) > 0


async def test_every_text_gets_one_vector_of_length_one(loaded: Engine) -> None:
    result = await loaded.embed(EmbedRequest(texts=("one", "two", "one")))
    values = array.array("f", result.vectors)
    assert len(values) == 3 * result.n_embd
    rows = [list(values[start : start + result.n_embd]) for start in range(0, len(values), result.n_embd)]
    assert all(math.isclose(math.hypot(*row), 1.0, abs_tol=1e-3) for row in rows)
    assert rows[0] == pytest.approx(rows[2], abs=1e-3)
    assert rows[0] != pytest.approx(rows[1], abs=1e-3)
    assert len(result.token_counts) == 3


async def test_a_ping_is_answered_while_an_answer_is_given(loaded: Engine) -> None:
    answer = loaded.generate(ENDLESS)
    await anext(answer)
    seconds = await loaded.ping()
    assert 0 <= seconds < 5
    assert not isinstance(await anext(answer), Finished)
    await answer.aclose()


async def test_a_stop_leaves_no_process_and_may_be_repeated(
    loaded: Engine, watched: Watched, gone: Gone
) -> None:
    pid = loaded.pid
    states = watched(loaded)
    await asyncio.gather(loaded.stop(), loaded.stop())
    await loaded.stop()
    assert names(states) == ["Stopping", "Stopped"]
    assert loaded.pid is None
    assert pid is None or gone(pid)


async def test_a_stop_in_mid_answer_ends_the_answer(loaded: Engine) -> None:
    answer = loaded.generate(ENDLESS)
    await anext(answer)
    await loaded.stop()
    assert await how_it_ends(answer) in {"cancelled", "The model was unloaded"}


async def how_it_ends(answer: AsyncIterator[GenerateEvent]) -> str:
    try:
        events = [event async for event in answer]
    except EngineError as error:
        return error.title
    return events[-1].reason if isinstance(events[-1], Finished) else "no end"


async def test_a_missing_file_is_a_failure_in_words_and_the_next_load_works(
    engine: Engine, spec: LoadSpec, missing: LoadSpec, watched: Watched
) -> None:
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready(missing)
    assert Path(missing.path).name in caught.value.message
    assert caught.value.title
    assert isinstance(engine.state, Failed)
    assert engine.state.failure == caught.value.failure
    assert engine.pid is None
    with pytest.raises(EngineError):
        await engine.tokenize("anything")
    states = watched(engine)
    await engine.ensure_ready(spec)
    assert names(states) == ["Starting", "Loading", "Ready"]


async def test_nothing_is_answered_before_a_model_is_loaded(engine: Engine) -> None:
    with pytest.raises(EngineError, match="not loaded"):
        await anext(engine.generate(SHORT))
    with pytest.raises(EngineError, match="not loaded"):
        await engine.ping()


def cancel_at_start(call: asyncio.Task[ModelInfo], state: InstanceState) -> None:
    if isinstance(state, Starting):
        call.cancel()


async def test_a_cancelled_load_ends_stopped(engine: Engine, spec: LoadSpec, watched: Watched) -> None:
    states = watched(engine)
    call = asyncio.create_task(engine.ensure_ready(spec))
    engine.watch(lambda state: cancel_at_start(call, state))
    await asyncio.wait({call})
    assert call.cancelled()
    assert names(states)[-2:] == ["Stopping", "Stopped"]
    assert engine.pid is None


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


async def test_a_dry_run_tells_the_memory_in_any_state(
    engine: Engine, spec: LoadSpec, other: LoadSpec, watched: Watched
) -> None:
    states = watched(engine)
    processes = children()
    before = await engine.dry_run(spec)
    assert states == []
    assert children() == processes
    assert before.exact
    assert before.total_bytes > 0
    await engine.ensure_ready(spec)
    smaller = await engine.dry_run(other)
    assert smaller.total_bytes < before.total_bytes
    assert isinstance(engine.state, Ready)


async def test_a_dry_run_of_a_missing_file_is_refused_in_words(engine: Engine, missing: LoadSpec) -> None:
    with pytest.raises(EngineError, match=r"\.missing"):
        await engine.dry_run(missing)
    assert engine.state == Stopped()
