"""One worker from its start to its end: the process, its wire, its log, and the words for how it ended.

`failure` is None while the worker lives; afterwards it says why it does not. Whatever ended it, every
request that still waited has then failed with those words.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.generation import Finished, GenerateEvent, GenerateRequest
from kobold_tui.engine import endings, wire
from kobold_tui.engine.channel import Channel
from kobold_tui.engine.endings import engine_error
from kobold_tui.engine.log_tail import LogTail
from kobold_tui.engine.spawn import Launch, WorkerProcess
from kobold_tui.engine.waiters import Answer, Call, OnProgress

R = TypeVar("R", bound=wire.Reply)
RequestT = TypeVar("RequestT", bound=wire.AnyRequest)


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """How long a worker may take for each step of its life before harder means are used."""

    start_seconds: Annotated[float, Meta(description="from its start to its hello")] = 120.0
    unload_seconds: Annotated[float, Meta(description="to unload when asked to")] = 3.0
    exit_seconds: Annotated[float, Meta(description="between the end of its wire and its own")] = 5.0
    terminate_seconds: Annotated[float, Meta(description="to end after SIGTERM")] = 2.0
    kill_seconds: Annotated[float, Meta(description="to end after SIGKILL, or to be started at all")] = 10.0


DEFAULT_DEADLINES = Deadlines()


class WorkerConnection:
    """A worker of the model called `model`; `on_lost` is called once when it ended unasked."""

    def __init__(
        self,
        launch: Launch,
        log: LogTail,
        *,
        model: str,
        deadlines: Deadlines,
        on_lost: Callable[[WorkerConnection], None] = lambda _: None,
    ) -> None:
        self.failure: Failure | None = None
        self.log = log
        self._model = model
        self._deadlines = deadlines
        self._on_lost = on_lost
        self._told_to_end = False
        self._channel = Channel()
        self._process = WorkerProcess(launch, log, name=model)
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connecting = asyncio.create_task(self._connect())
        self._ending: asyncio.Task[Failure | None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, None before its start and after its end."""
        return self._process.pid

    async def start(self) -> wire.Hello:
        """Wait for the worker's hello. Raises EngineError where it does not come."""
        hello = self._channel.hello
        await _first_of(hello, self._ended, timeout=self._deadlines.start_seconds)
        if self.failure is not None:
            raise engine_error(self.failure)
        if not hello.done():
            reason = f"said nothing for {self._deadlines.start_seconds:g} seconds"
            raise engine_error(endings.failed_start(reason, self.log.snapshot()))
        if hello.result().protocol != wire.PROTOCOL_VERSION:
            raise engine_error(endings.failed_start("belongs to another version of kobold-tui"))
        return hello.result()

    async def call(
        self, make: Callable[[int], RequestT], expected: type[R], on_progress: OnProgress | None = None
    ) -> R:
        """Send the request that `make` builds for an id, and return its answer; cancelling cancels it.

        Raises EngineError when the worker refuses or ends.
        """
        call = Call(expected, on_progress)
        request_id = self._submit(make, call)
        try:
            return await call.answer
        finally:
            self._channel.abandon(request_id)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        """Stream an answer; closing the generator cancels it. Raises EngineError."""
        answer = Answer()
        request_id = self._submit(lambda id_: wire.Generate(id=id_, request=request), answer)
        try:
            while True:
                event = await answer.next()
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            self._channel.abandon(request_id)

    async def end(self) -> Failure | None:
        """End the process: by message, then terminate, then kill; returns a failure where nothing helps.

        Idempotent. Cancelling the wait does not cancel the end.
        """
        if self._ending is None:
            self._told_to_end = True
            self._ending = asyncio.create_task(self._end_by_force())
        return await asyncio.shield(self._ending)

    def _submit(self, make: Callable[[int], RequestT], waiter: Call[R] | Answer) -> int:
        if self.failure is not None:
            raise engine_error(self.failure)
        request = make(self._channel.new_id())
        try:
            self._channel.submit(request, waiter)
        except (wire.FrameError, UnicodeEncodeError) as error:
            raise EngineError(
                "The request cannot be sent",
                f"The request to {self._model} does not fit the wire: {error}.",
                "Send less at once, and only text that is valid Unicode.",
            ) from error
        return request.id

    async def _connect(self) -> None:
        """Wait for the process to run and take up the wire."""
        try:
            await self._process.spawned
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: self._channel, sock=self._process.socket)
        except (OSError, ValueError) as error:
            self._process.socket.close()
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            self._finish(endings.failed_start(f"could not be run ({reason})"))
            return
        if self._ending is not None and self._ending.done():
            self._process.send_signal(signal.SIGKILL)
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Notice the end of the process or of its wire; the other one follows or is made to."""
        exited, closed = self._process.exited, self._channel.closed
        await _first_of(exited, closed)
        if not exited.done():
            patience = 0.0 if self._channel.broken else self._deadlines.exit_seconds
            await _first_of(exited, timeout=patience)
            self._process.send_signal(signal.SIGKILL)
            await _first_of(exited, timeout=self._deadlines.kill_seconds)
        await _first_of(closed, timeout=self._deadlines.exit_seconds)
        self._finish(self._words(exited.result()) if exited.done() else self._stuck())

    def _words(self, returncode: int) -> Failure:
        log = self.log.snapshot()
        if self._told_to_end:
            return endings.unloaded(self._model)
        if self._channel.broken is not None:
            return endings.unreadable(self._model, str(self._channel.broken), log)
        if not self._channel.hello.done():
            return endings.failed_start(endings.start_reason(returncode), log)
        return endings.ended_itself(self._model, returncode, log)

    def _finish(self, failure: Failure) -> None:
        self.failure = failure
        self._channel.abort()
        self._ended.set_result(None)
        if not self._told_to_end:
            self._on_lost(self)
        self._channel.fail_all(engine_error(failure))

    async def _end_by_force(self) -> Failure | None:
        await _first_of(self._connecting, timeout=self._deadlines.kill_seconds)
        if self._channel.hello.done():
            self._ask_to_end()
            await _first_of(self._ended, timeout=self._deadlines.unload_seconds)
        for number, seconds in (
            (signal.SIGTERM, self._deadlines.terminate_seconds),
            (signal.SIGKILL, self._deadlines.kill_seconds),
        ):
            if not self._ended.done():
                self._process.send_signal(number)
                await _first_of(self._ended, timeout=seconds)
        self._channel.abort()
        return self._stuck() if self.pid is not None or not self._connecting.done() else None

    def _stuck(self) -> Failure:
        return endings.cannot_end(self._model, self.pid, self.log.snapshot())

    def _ask_to_end(self) -> None:
        for request_id in self._channel.waiting:
            self._channel.send(wire.Cancel(id=self._channel.new_id(), target=request_id))
        self._channel.send(wire.Unload(id=self._channel.new_id()))


async def _first_of(*futures: asyncio.Future[Any], timeout: float | None = None) -> None:  # noqa: ASYNC109
    """Wait until one is done or the time is up; cancelling the wait cancels none of them."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
