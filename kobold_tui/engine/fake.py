"""An engine without a process, for tests and demonstrations: scripted, observable, steered by events.

It obeys the same lifecycle as the real one. Nothing in it waits for time, unless it is given a pace:
`released` lets go what the script holds, `flowing` can be cleared to stop all answers between two tokens,
`crash` ends the model.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.generation import (
    Embeddings,
    EmbedRequest,
    Finished,
    GenerateEvent,
    GenerateRequest,
    Message,
    RenderedPrompt,
    RerankRequest,
    Scores,
)
from kobold_tui.domain.instance import InstanceId, InstanceState, Loading, LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine import endings, script
from kobold_tui.engine.endings import engine_error
from kobold_tui.engine.lifecycle import Lifecycle, Report
from kobold_tui.engine.protocol import StateListener
from kobold_tui.engine.script import Fault, Playback, Script
from kobold_tui.engine.waiters import Answer

DEFAULT_SCRIPT = Script()

Step = Literal["load", "token"]
Pace = Callable[[Step], Awaitable[None]]
"""Waits between two steps of a load, or after a token."""


async def at_once(_step: Step) -> None:
    """Let others run, and go on."""
    await asyncio.sleep(0)


_RETURN_CODES = {
    "abort": -signal.SIGABRT,
    "segfault": -signal.SIGSEGV,
    "kill": -signal.SIGKILL,
}


class _FakeHost:
    """A model that exists only in words; `failure` tells how it ended."""

    def __init__(self, engine: FakeEngine, spec: LoadSpec) -> None:
        self.failure: Failure | None = None
        self.ended = asyncio.Event()
        self._engine = engine
        self._model = Path(spec.path).name
        self._answers: dict[Answer, asyncio.Task[None]] = {}

    async def start(self) -> None:
        fault = self._engine.script.at_start
        if fault is not None:
            log = tuple(fault.output.splitlines())
            raise engine_error(endings.failed_start(endings.start_reason(fault.exit_code), log))

    async def load(self, spec: LoadSpec, report: Report) -> ModelInfo:
        plan = self._engine.script
        for step in range(plan.load_steps):
            report(Loading(phase="weights", fraction=(step + 1) / plan.load_steps))
            if plan.hold_load and step == 0:
                await self._wait_for(self._engine.released)
            await self._engine.pace("load")
        refused = script.refusal(plan, spec)
        if refused is not None:
            raise engine_error(refused)
        if plan.at_load is not None:
            await self._commit(plan.at_load)
        return script.model_info(plan, spec)

    async def end(self) -> Failure | None:
        self._break_off(endings.unloaded(self._model))
        return None

    def open_answer(self, request: GenerateRequest) -> Answer:
        answer = Answer()
        self._answers[answer] = asyncio.create_task(self._give(answer, request))
        return answer

    def close_answer(self, answer: Answer) -> None:
        task = self._answers.pop(answer, None)
        if task is not None:
            task.cancel()

    def crash(self, failure: Failure) -> None:
        """End unasked."""
        if self.failure is None:
            self.failure = failure
            self._engine.lost(self)
            self._break_off(failure)

    async def _give(self, answer: Answer, request: GenerateRequest) -> None:
        engine = self._engine
        if engine.script.refuse_answer is not None:
            answer.fail(engine_error(engine.script.refuse_answer))
            return
        playback = Playback(engine.script, request)
        while not answer.ended:
            await engine.flowing.wait()
            item = playback.advance(released=engine.released.is_set())
            if item is None:
                await engine.released.wait()
            elif isinstance(item, Fault):
                await self._commit(item)
            else:
                answer.put(item)
            await engine.pace("token")

    async def _wait_for(self, event: asyncio.Event) -> None:
        """Wait for an event or for the end of the model."""
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self.ended.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _commit(self, fault: Fault) -> None:
        """Go wrong; what hangs does so until it is ended."""
        log = tuple(fault.output.splitlines())
        if fault.kind in {"hang", "freeze"}:
            await self.ended.wait()
        elif fault.kind == "garbage":
            self.crash(endings.unreadable(self._model, "garbage", log))
        else:
            returncode = _RETURN_CODES.get(fault.kind, fault.exit_code)
            self.crash(endings.ended_itself(self._model, returncode, log))

    def _break_off(self, failure: Failure) -> None:
        self.failure = self.failure or failure
        self.ended.set()
        for answer, task in self._answers.items():
            answer.fail(engine_error(failure))
            if task is not asyncio.current_task():
                task.cancel()


class FakeEngine:
    """Implements `Engine`; `script` may be replaced between requests, `history` holds all requests."""

    def __init__(
        self, instance_id: InstanceId, script: Script = DEFAULT_SCRIPT, pace: Pace = at_once
    ) -> None:
        self.script = script
        self.pace = pace
        self.history: list[LoadSpec | GenerateRequest | EmbedRequest | RerankRequest] = []
        self.released = asyncio.Event()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._id = instance_id
        self._lifecycle = Lifecycle(self._open)

    @property
    def id(self) -> InstanceId:
        """Name of the instance."""
        return self._id

    @property
    def state(self) -> InstanceState:
        """The present state."""
        return self._lifecycle.state

    @property
    def spec(self) -> LoadSpec | None:
        """What was asked for last."""
        return self._lifecycle.spec

    @property
    def pid(self) -> int | None:
        """None: there is no process."""
        return None

    @property
    def log_tail(self) -> tuple[str, ...]:
        """What the script writes while loading."""
        return tuple(self.script.noise.decode(errors="replace").splitlines())

    def watch(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` on every change of state; returns how to stop it."""
        return self._lifecycle.watch(listener)

    def crash(self, returncode: int = -signal.SIGKILL) -> None:
        """End the model as if its process had ended with `returncode`; nothing happens where none runs."""
        host = self._lifecycle.host
        spec = self._lifecycle.spec
        if host is not None and spec is not None:
            host.crash(endings.ended_itself(Path(spec.path).name, returncode, self.log_tail))

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        """Load `spec` unless it is loaded; every real load enters the history."""
        return await self._lifecycle.ensure_ready(spec)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        """Stream the scripted answer; see `Engine.generate`."""
        host = self._lifecycle.ready_host()
        self.history.append(request)
        answer = host.open_answer(request)
        try:
            while True:
                event = await answer.next()
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            host.close_answer(answer)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return one vector for each text."""
        self._lifecycle.ready_host()
        self.history.append(request)
        return script.embed(self.script, request)

    async def rerank(self, request: RerankRequest) -> Scores:
        """Return one score for each document."""
        self._lifecycle.ready_host()
        self.history.append(request)
        return script.rerank(request)

    async def set_lora(self, scales: Sequence[float]) -> None:
        """Take as many scales as the options name adapters."""
        self._lifecycle.ready_host()
        script.check_lora(self._lifecycle.spec, scales)

    async def tokenize(
        self,
        text: str,
        *,
        add_special: bool = False,
        parse_special: bool = False,  # noqa: ARG002 - no text is special to it
    ) -> tuple[int, ...]:
        """Return token ids."""
        self._lifecycle.ready_host()
        return script.tokenize(text, add_special=add_special)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids."""
        self._lifecycle.ready_host()
        return script.detokenize(tokens)

    async def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str] | None = None,  # noqa: ARG002 - has none
        *,
        tools_json: str = "",  # noqa: ARG002 - has none
    ) -> RenderedPrompt:
        """Return the prompt of these messages."""
        self._lifecycle.ready_host()
        return script.render(messages)

    async def dry_run(self, spec: LoadSpec) -> MemoryEstimate:
        """Return the memory of the stand-in."""
        return script.memory(self.script, spec)

    async def ping(self) -> float:
        """Answer at once."""
        self._lifecycle.ready_host()
        return 0.0

    async def stop(self) -> None:
        """Unload; see `Engine.stop`."""
        await self._lifecycle.stop()

    def lost(self, host: _FakeHost) -> None:
        """Take note that the model ended unasked (called by the host)."""
        self._lifecycle.lost(host)

    def _open(self, spec: LoadSpec) -> _FakeHost:
        self.history.append(spec)
        return _FakeHost(self, spec)
