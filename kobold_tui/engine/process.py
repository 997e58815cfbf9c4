"""The engine whose model lives in a worker process of its own.

Crash, out-of-memory and hang of a model are ordinary events here: the state turns `Failed` with a reason in
words, requests that waited raise the same words, and the next `ensure_ready` starts a new process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import (
    Embeddings,
    EmbedRequest,
    GenerateEvent,
    GenerateRequest,
    Message,
    RenderedPrompt,
    RerankRequest,
    Scores,
)
from kobold_tui.domain.instance import InstanceId, InstanceState, Loading, LoadSpec, ModelInfo, Ready
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine import wire
from kobold_tui.engine.connection import DEFAULT_DEADLINES, Deadlines, WorkerConnection
from kobold_tui.engine.endings import LOG_LINES
from kobold_tui.engine.lifecycle import Lifecycle, Report
from kobold_tui.engine.log_tail import LogFile, LogTail
from kobold_tui.engine.protocol import StateListener
from kobold_tui.engine.spawn import DEFAULT_LAUNCH, Launch, without_cards


class _ModelProcess(WorkerConnection):
    """A worker that holds a model, as the lifecycle sees it."""

    async def load(self, spec: LoadSpec, report: Report) -> ModelInfo:
        """Load a model; a refusal carries the last log lines unless the worker chose telling ones."""

        def progressed(progress: wire.Progress) -> None:
            report(Loading(phase=progress.phase, fraction=progress.fraction))

        try:
            reply = await self.call(
                lambda request_id: wire.Load(id=request_id, spec=spec), wire.Loaded, progressed
            )
        except EngineError as error:
            error.log_tail = error.log_tail or self.log.last(LOG_LINES)
            raise
        return reply.info


class ProcessEngine:
    """Implements `Engine`; to be made, like every engine, on the loop that it is used on.

    What the worker writes is appended to `log_file`, where one is given.
    """

    def __init__(
        self,
        instance_id: InstanceId,
        *,
        launch: Launch = DEFAULT_LAUNCH,
        log_file: Path | None = None,
        deadlines: Deadlines = DEFAULT_DEADLINES,
    ) -> None:
        self._id = instance_id
        self._launch = launch
        self._log_file = LogFile(log_file) if log_file else None
        self._deadlines = deadlines
        self._log = LogTail()
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
        """The worker process."""
        host = self._lifecycle.host
        return host.pid if host else None

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The last lines of the present worker, or of the last one."""
        return self._log.snapshot()

    def watch(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` on every change of state; returns how to stop it."""
        return self._lifecycle.watch(listener)

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        """Load `spec` unless it is loaded; see `Engine.ensure_ready`."""
        return await self._lifecycle.ensure_ready(spec)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        """Stream an answer; see `Engine.generate`."""
        answer = self._lifecycle.ready_host().generate(request)
        try:
            async for event in answer:
                yield event
        finally:
            await answer.aclose()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return one vector for each text."""
        host = self._lifecycle.ready_host()
        reply = await host.call(lambda id_: wire.Embed(id=id_, request=request), wire.Embedded)
        return reply.embeddings

    async def rerank(self, request: RerankRequest) -> Scores:
        """Return how relevant each document is to the query."""
        host = self._lifecycle.ready_host()
        reply = await host.call(lambda id_: wire.Rerank(id=id_, request=request), wire.Reranked)
        return reply.scores

    async def set_lora(self, scales: Sequence[float]) -> None:
        """Change how strongly the loaded LoRA adapters act."""
        host = self._lifecycle.ready_host()
        await host.call(lambda id_: wire.SetLora(id=id_, scales=tuple(scales)), wire.Done)

    async def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[int, ...]:
        """Return token ids."""
        host = self._lifecycle.ready_host()
        reply = await host.call(
            lambda id_: wire.Tokenize(
                id=id_, text=text, add_special=add_special, parse_special=parse_special
            ),
            wire.Tokens,
        )
        return reply.tokens

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids."""
        host = self._lifecycle.ready_host()
        reply = await host.call(lambda id_: wire.Detokenize(id=id_, tokens=tuple(tokens)), wire.Text)
        return reply.text

    async def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str] | None = None,
        *,
        tools_json: str = "",
    ) -> RenderedPrompt:
        """Return the prompt of these messages."""
        host = self._lifecycle.ready_host()
        reply = await host.call(
            lambda id_: wire.Render(
                id=id_,
                messages=tuple(messages),
                template_options=template_options or {},
                tools_json=tools_json,
            ),
            wire.Rendered,
        )
        return RenderedPrompt(text=reply.text, tokens=reply.tokens)

    async def dry_run(self, spec: LoadSpec) -> MemoryEstimate:
        """Return the exact memory of `spec`; a worker without a model is started where none is ready."""
        host = self._lifecycle.host
        if host is not None and isinstance(self.state, Ready):
            return await _dry_run(host, spec)
        passing = WorkerConnection(
            self._launch, LogTail(), model=Path(spec.path).name, deadlines=self._deadlines
        )
        try:
            await passing.start()
            return await _dry_run(passing, spec)
        finally:
            await passing.end()

    async def ping(self) -> float:
        """Return the seconds that the worker's reader takes to answer."""
        host = self._lifecycle.ready_host()
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await host.call(lambda id_: wire.Ping(id=id_), wire.Done)
        return loop.time() - asked

    async def stop(self) -> None:
        """Unload and end the process; see `Engine.stop`."""
        await self._lifecycle.stop()

    def _open(self, spec: LoadSpec) -> _ModelProcess:
        self._log = LogTail(log_file=self._log_file)
        launch = without_cards(self._launch) if spec.options.is_cpu_only else self._launch
        return _ModelProcess(
            launch,
            self._log,
            model=Path(spec.path).name,
            deadlines=self._deadlines,
            on_lost=self._lost,
        )

    def _lost(self, connection: WorkerConnection) -> None:
        if isinstance(connection, _ModelProcess):
            self._lifecycle.lost(connection)


async def probe_worker(
    launch: Launch = DEFAULT_LAUNCH, deadlines: Deadlines = DEFAULT_DEADLINES
) -> wire.Hello:
    """Start a worker only to hear which llama.cpp build and devices it finds, and end it.

    Raises EngineError where the worker cannot start, such as when the library cannot be loaded.
    """
    worker = WorkerConnection(launch, LogTail(), model="the worker", deadlines=deadlines)
    try:
        return await worker.start()
    finally:
        await worker.end()


async def _dry_run(worker: WorkerConnection, spec: LoadSpec) -> MemoryEstimate:
    reply = await worker.call(lambda id_: wire.DryRun(id=id_, spec=spec), wire.Memory)
    return reply.estimate
