"""A slow reader of an answer loses nothing and holds up nobody."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.generation import Finished, GenerateEvent, PromptProgress, TextDelta
from kobold_tui.engine import wire
from kobold_tui.engine.endings import engine_error
from kobold_tui.engine.waiters import Answer, Call

deltas = st.builds(TextDelta, text=st.text(max_size=5), n_tokens=st.integers(0, 3), reasoning=st.booleans())
progress = st.builds(PromptProgress, done=st.integers(0, 9), total=st.just(9))


def texts(events: list[GenerateEvent], *, reasoning: bool) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta) and e.reasoning == reasoning)


def kinds(events: list[GenerateEvent]) -> list[object]:
    """The order of what was said, runs of one kind counted once."""
    tags = [("text", e.reasoning) if isinstance(e, TextDelta) else type(e).__name__ for e in events]
    return [tag for index, tag in enumerate(tags) if index == 0 or tags[index - 1] != tag]


@given(st.lists(st.one_of(deltas, progress), max_size=40), st.lists(st.booleans(), max_size=40))
def test_text_tokens_and_order_survive_any_way_of_reading(
    events: list[GenerateEvent], reads: list[bool]
) -> None:
    sent: list[GenerateEvent] = [*events, Finished(reason="stop")]

    async def pass_through() -> list[GenerateEvent]:
        answer, received = Answer(), list[GenerateEvent]()
        waiting = 0
        for index, event in enumerate(sent):
            answer.receive(wire.Event(id=1, event=event))
            waiting += 1
            if index < len(reads) and reads[index]:
                received.append(await answer.next())
                waiting = 0
        while not received or not isinstance(received[-1], Finished):
            received.append(await answer.next())
        return received

    received = asyncio.run(pass_through())
    for reasoning in (False, True):
        assert texts(received, reasoning=reasoning) == texts(sent, reasoning=reasoning)
    assert sum(e.n_tokens for e in received if isinstance(e, TextDelta)) == sum(
        e.n_tokens for e in sent if isinstance(e, TextDelta)
    )
    assert kinds(received) == kinds(sent)


async def test_a_reader_that_lags_gets_one_large_piece() -> None:
    answer = Answer()
    for _ in range(10_000):
        answer.receive(wire.Event(id=1, event=TextDelta(text="word ")))
    assert await answer.next() == TextDelta(text="word " * 10_000, n_tokens=10_000)


async def test_text_that_came_before_the_end_of_the_worker_is_read_first() -> None:
    answer = Answer()
    answer.receive(wire.Event(id=1, event=TextDelta(text="partial")))
    answer.fail(engine_error(Failure(title="Gone", message="The process was killed.")))
    assert await answer.next() == TextDelta(text="partial")
    with pytest.raises(EngineError, match="The process was killed"):
        await answer.next()


async def test_an_answer_that_is_complete_cannot_fail_any_more() -> None:
    answer = Answer()
    assert answer.receive(wire.Event(id=1, event=Finished(reason="stop")))
    answer.fail(engine_error(Failure(title="Gone", message="Too late.")))
    assert await answer.next() == Finished(reason="stop")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(answer.next(), 0)


async def test_a_reply_of_another_kind_breaks_the_protocol() -> None:
    with pytest.raises(wire.FrameError):
        Answer().receive(wire.Done(id=1))
    with pytest.raises(wire.FrameError):
        Call(wire.Tokens).receive(wire.Text(id=1, text="?"))


async def test_two_calls_that_fail_together_raise_exceptions_of_their_own() -> None:
    calls = [Call(wire.Done), Call(wire.Done)]
    error = engine_error(Failure(title="Gone", message="Killed."))
    for call in calls:
        call.fail(error)
    raised = [call.answer.exception() for call in calls]
    assert raised[0] is not raised[1]
    assert [str(e) for e in raised] == ["Gone: Killed.", "Gone: Killed."]
