"""A backend without a model inside a real worker process, which answers and fails as its script says.

Tests of everything around a worker (its crash, its hang, its noise) run against it: the process, the wire
and the signals are real, only llama.cpp is not there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import EngineError, KoboldError
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
from kobold_tui.domain.instance import LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.engine import script, wire
from kobold_tui.engine.endings import engine_error
from kobold_tui.engine.script import Fault, Playback, Script
from kobold_tui.engine.worker.backend import IsCancelled, ReportProgress

_POLL_SECONDS = 0.002
_SETTLE_SECONDS = 0.05
"""Time in which the serving loop sends what the tokens before a fault were collected for."""


class ScriptedBackend:
    """Implements `Backend` by a script."""

    def __init__(self, plan: Script) -> None:
        self._script = plan
        self._spec: LoadSpec | None = None
        self._answers: dict[int, Playback] = {}
        self._cancelled: list[int] = []
        self._fault: tuple[Fault, float] | None = None
        if plan.ignore_terminate:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    @classmethod
    def from_json(cls, text: str) -> ScriptedBackend:
        """Read the script. Raises KoboldError where it is none."""
        try:
            return cls(msgspec.json.decode(text, type=Script))
        except msgspec.DecodeError as error:
            raise KoboldError("Not a script", f"The script of the worker is wrong: {error}.") from error

    def hello(self) -> wire.Hello:
        """Return the first frame, unless the script ends the process before."""
        if self._script.at_start is not None:
            _commit(self._script.at_start)
        return wire.Hello(pid=os.getpid(), devices=("CPU",))

    def load(self, spec: LoadSpec, report: ReportProgress, cancelled: IsCancelled) -> ModelInfo:
        """Report the scripted steps, then be ready, refuse or go wrong."""
        plan = self._script
        for _ in range(plan.noise_repeat if plan.noise else 0):
            _write_all(2, plan.noise)
        for step in range(plan.load_steps):
            report("weights", (step + 1) / plan.load_steps)
            if plan.hold_load and step == 0:
                self._wait_for_release(cancelled)
        refused = script.refusal(plan, spec)
        if refused is not None:
            raise engine_error(refused)
        if plan.at_load is not None:
            _commit(plan.at_load)
        self._spec = spec
        return script.model_info(plan, spec)

    def start(self, request_id: int, request: GenerateRequest) -> None:
        """Accept a generation."""
        if self._script.refuse_answer is not None:
            raise engine_error(self._script.refuse_answer)
        self._answers[request_id] = Playback(self._script, request)

    @property
    def busy(self) -> bool:
        """Whether an answer is being given."""
        return bool(self._answers)

    def step(self) -> Iterable[tuple[int, GenerateEvent]]:
        """Give one token of every answer."""
        events: list[tuple[int, GenerateEvent]] = []
        for request_id in self._cancelled:
            playback = self._answers.pop(request_id, None)
            if playback is not None:
                events.append((request_id, playback.finished("cancelled")))
        self._cancelled.clear()
        released = self._released()
        for request_id, playback in tuple(self._answers.items()):
            item = playback.advance(released=released)
            if isinstance(item, Fault):
                self._commit_soon(item)
            elif item is not None:
                events.append((request_id, item))
                if isinstance(item, Finished):
                    del self._answers[request_id]
        if not events:
            time.sleep(_POLL_SECONDS)
        return events

    def cancel(self, request_id: int) -> None:
        """End an answer with the next step."""
        self._cancelled.append(request_id)

    def interrupt(self) -> None:
        """Do nothing: no step takes long."""

    def embed(self, request: EmbedRequest, cancelled: IsCancelled) -> Embeddings:  # noqa: ARG002 - is quick
        """Return one vector for each text."""
        return script.embed(self._script, request)

    def rerank(self, request: RerankRequest, cancelled: IsCancelled) -> Scores:  # noqa: ARG002 - is quick
        """Return one score for each document."""
        return script.rerank(request)

    def set_lora(self, scales: Sequence[float]) -> None:
        """Take as many scales as the options name adapters."""
        script.check_lora(self._spec, scales)

    def tokenize(
        self,
        text: str,
        *,
        add_special: bool,
        parse_special: bool,  # noqa: ARG002 - no text is special to it
    ) -> tuple[int, ...]:
        """Return token ids."""
        return script.tokenize(text, add_special=add_special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return text."""
        return script.detokenize(tokens)

    def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str],  # noqa: ARG002 - has none
        tools_json: str = "",  # noqa: ARG002 - has none
    ) -> RenderedPrompt:
        """Return the prompt of these messages."""
        return script.render(messages)

    def dry_run(
        self,
        spec: LoadSpec,
        cards: tuple[VirtualCard, ...] | None = None,  # noqa: ARG002 - takes no card's memory
    ) -> MemoryEstimate:
        """Return the memory of the stand-in."""
        return script.memory(self._script, spec)

    def unload(self) -> None:
        """Return, or never return where the script says so."""
        if self._script.ignore_unload:
            _commit(Fault(kind="hang"))

    def _released(self) -> bool:
        return bool(self._script.release_file) and Path(self._script.release_file).exists()

    def _wait_for_release(self, cancelled: IsCancelled) -> None:
        while not self._released():
            if cancelled():
                raise EngineError("Loading was cancelled", "Loading the model was cancelled.")
            time.sleep(_POLL_SECONDS)

    def _commit_soon(self, fault: Fault) -> None:
        """Go wrong once the text so far is on the wire."""
        now = time.monotonic()
        if self._fault is None:
            self._fault = (fault, now)
        elif now - self._fault[1] > _SETTLE_SECONDS:
            _commit(fault)


def _commit(fault: Fault) -> None:
    """Go wrong, for good."""
    if fault.output:
        _write_all(2, fault.output.encode(errors="surrogateescape"))
    match fault.kind:
        case "abort":
            os.abort()
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(fault.exit_code)
        case "freeze":
            ctypes.PyDLL(None).pause()  # keeps the interpreter's lock, so no thread runs any more
        case "garbage":
            _write_all(_wire_descriptor(), b"\xff" * 4096)
        case "hang":
            pass
    while True:
        signal.pause()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _wire_descriptor() -> int:
    """Return the only socket that a worker inherits."""
    for descriptor in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                return descriptor
        except OSError:
            continue
    sys.exit("the worker has no wire")
