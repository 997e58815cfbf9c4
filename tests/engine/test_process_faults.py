"""A worker that crashes, hangs, floods or lies is an ordinary event: it is told in words, life goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.generation import Finished, GenerateRequest, TextDelta
from kobold_tui.domain.instance import Failed, InstanceId, InstanceState, Loading, LoadSpec, Ready, Stopped
from kobold_tui.engine.connection import Deadlines
from kobold_tui.engine.process import ProcessEngine
from kobold_tui.engine.protocol import Engine
from kobold_tui.engine.script import Fault, FaultKind, Script
from kobold_tui.engine.spawn import Launch

ASK = GenerateRequest(prompt="one two three four five six seven eight")

MakeScripted = Callable[..., ProcessEngine]
Until = Callable[[Callable[[], bool]], Awaitable[None]]
Watched = Callable[[Engine], list[InstanceState]]
Gone = Callable[[int], bool]


async def text_until_it_breaks(
    engine: Engine, on_text: Callable[[str], None] = lambda _: None
) -> tuple[str, EngineError]:
    """Return what arrived of an answer that breaks off, and why it did; `on_text` sees the text grow."""
    text = ""
    try:
        async for event in engine.generate(ASK):
            text += event.text if isinstance(event, TextDelta) else ""
            on_text(text)
    except EngineError as error:
        return text, error
    pytest.fail("the answer did not break off")


def failure_of(engine: Engine) -> Failure:
    assert isinstance(engine.state, Failed)
    return engine.state.failure


def pid_of(engine: Engine) -> int:
    assert engine.pid is not None
    return engine.pid


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(kind="abort"), "SIGABRT"),
        (Fault(kind="segfault"), "SIGSEGV"),
        (Fault(kind="kill"), "killed by signal 9 (probably the system's out-of-memory killer or kill -9)"),
        (Fault(kind="exit", exit_code=7), "exit code 7"),
        (Fault(kind="garbage"), "the worker sent something unreadable".capitalize()),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_a_death_in_mid_answer_keeps_the_text_and_says_what_happened(
    fault: Fault, words: str, make_scripted: MakeScripted, spec: LoadSpec, gone: Gone
) -> None:
    engine = make_scripted(Script(at_answer=fault, after_tokens=3))
    await engine.ensure_ready(spec)
    pid = pid_of(engine)
    text, error = await text_until_it_breaks(engine)
    assert text == "one two three"
    assert words.lower() in error.message.lower()
    assert "model.gguf" in error.message
    assert error.hint
    assert failure_of(engine) == error.failure
    assert engine.pid is None
    assert gone(pid)


async def test_a_failed_assertion_is_quoted_from_the_log(make_scripted: MakeScripted, spec: LoadSpec) -> None:
    line = "ggml.c:1234: GGML_ASSERT(n_tokens <= n_batch) failed"
    engine = make_scripted(Script(at_answer=Fault(kind="abort", output=f"{line}\nother words\n")))
    await engine.ensure_ready(spec)
    _, error = await text_until_it_breaks(engine)
    assert line in error.message
    assert error.log_tail[-2:] == (line, "other words")


async def test_a_worker_that_cannot_start_says_why(make_scripted: MakeScripted, spec: LoadSpec) -> None:
    reason = "ModuleNotFoundError: No module named 'llama_cpp'"
    engine = make_scripted(Script(at_start=Fault(kind="exit", output=f"Traceback\n{reason}\n")))
    with pytest.raises(EngineError, match="did not start") as caught:
        await engine.ensure_ready(spec)
    assert "exit code 1" in caught.value.message
    assert reason in caught.value.message
    assert "doctor" in caught.value.hint
    assert failure_of(engine).log_tail == ("Traceback", reason)


async def test_a_command_that_does_not_exist_is_a_failure_in_words(spec: LoadSpec) -> None:
    engine = ProcessEngine(InstanceId("x"), launch=Launch(command=("/nonexistent/worker",)))
    with pytest.raises(EngineError, match="No such file or directory"):
        await engine.ensure_ready(spec)
    assert failure_of(engine).title == "The model process did not start"
    await engine.stop()
    assert type(engine.state) is Stopped


async def test_a_worker_that_never_says_hello_is_given_up(spec: LoadSpec, gone: Gone, until: Until) -> None:
    silent = Launch(command=(sys.executable, "-S", "-c", "import signal; signal.pause()"))
    engine = ProcessEngine(InstanceId("x"), launch=silent, deadlines=Deadlines(start_seconds=0.5))
    call = asyncio.create_task(engine.ensure_ready(spec))
    await until(lambda: engine.pid is not None)
    pid = pid_of(engine)
    with pytest.raises(EngineError, match=r"said nothing for 0\.5 seconds"):
        await call
    assert gone(pid)


@pytest.mark.parametrize("kind", ["kill", "abort", "exit", "garbage"])
async def test_a_death_while_loading_is_the_failure_of_the_load(
    kind: FaultKind, make_scripted: MakeScripted, spec: LoadSpec, watched: Watched
) -> None:
    engine = make_scripted(Script(at_load=Fault(kind=kind)))
    states = watched(engine)
    with pytest.raises(EngineError, match=r"model\.gguf") as caught:
        await engine.ensure_ready(spec)
    assert failure_of(engine) == caught.value.failure
    assert type(states[-2]) is Loading
    assert engine.pid is None


async def test_a_refused_load_ends_the_process_and_keeps_the_words(
    make_scripted: MakeScripted, spec: LoadSpec, until: Until, gone: Gone, tmp_path: Path
) -> None:
    why = Failure(title="Not a model", message="model.gguf is no GGUF file.", hint="Choose another.")
    release = tmp_path / "go"
    engine = make_scripted(Script(refuse_load=why, hold_load=True, release_file=str(release), noise=b"oh\n"))
    call = asyncio.create_task(engine.ensure_ready(spec))
    await until(lambda: isinstance(engine.state, Loading) and engine.state.fraction is not None)
    pid = pid_of(engine)
    release.touch()
    with pytest.raises(EngineError, match="is no GGUF file"):
        await call
    assert failure_of(engine).message == why.message
    assert failure_of(engine).log_tail == ("oh",)
    assert gone(pid)


def kill_after_four(text: str, pid: int) -> None:
    if text == "one two three four":
        os.kill(pid, signal.SIGKILL)


async def test_kill_nine_ten_times_in_a_row_costs_neither_text_nor_engine(
    make_scripted: MakeScripted, spec: LoadSpec, gone: Gone, tmp_path: Path
) -> None:
    engine = make_scripted(Script(hold_answer_after=4, release_file=str(tmp_path / "go")))
    pids: list[int] = []
    for _ in range(10):
        await engine.ensure_ready(spec)
        pids.append(pid_of(engine))
        text, error = await text_until_it_breaks(engine, lambda text: kill_after_four(text, pids[-1]))
        assert text == "one two three four"
        assert "killed by signal 9" in error.message
        assert type(engine.state) is Failed
    assert len(set(pids)) == 10
    assert all(gone(pid) for pid in pids)
    (tmp_path / "go").touch()
    await engine.ensure_ready(spec)
    assert [e async for e in engine.generate(ASK)][-1].__class__ is Finished


async def test_a_death_while_idle_is_noticed(
    make_scripted: MakeScripted, spec: LoadSpec, until: Until
) -> None:
    engine = make_scripted(Script())
    await engine.ensure_ready(spec)
    os.kill(pid_of(engine), signal.SIGKILL)
    await until(lambda: isinstance(engine.state, Failed))
    with pytest.raises(EngineError, match="killed by signal 9"):
        await engine.tokenize("anything")
    info = await engine.ensure_ready(spec)
    assert engine.state == Ready(info)


async def test_a_refused_answer_raises_the_words_and_the_engine_lives_on(
    make_scripted: MakeScripted, spec: LoadSpec
) -> None:
    why = Failure(title="No template", message="The model has no chat template.")
    engine = make_scripted(Script(refuse_answer=why))
    await engine.ensure_ready(spec)
    text, error = await text_until_it_breaks(engine)
    assert (text, error.failure) == ("", why)
    assert type(engine.state) is Ready
