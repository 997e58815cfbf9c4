"""Loading and ending of one model, the same for every kind of engine: what may overlap, and what it means.

Loads and stops run one after the other, never side by side. Callers that want the same model share one
load; it is given up when the last of them is cancelled, or when somebody wants another model or a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from kobold_tui.domain.errors import EngineError, Failure, KoboldError
from kobold_tui.domain.instance import (
    Failed,
    InstanceState,
    Loading,
    LoadSpec,
    ModelInfo,
    Ready,
    Starting,
    Stopped,
    Stopping,
)
from kobold_tui.engine.endings import engine_error
from kobold_tui.engine.protocol import StateListener
from kobold_tui.engine.states import StateCell

Report = Callable[[Loading], None]


class Host(Protocol):
    """What holds a model: a worker process, or a stand-in for one. It serves one load and is then ended."""

    @property
    def failure(self) -> Failure | None:
        """Why it lives no more; None while it does."""
        ...

    async def start(self) -> object:
        """Come to life. Raises EngineError."""
        ...

    async def load(self, spec: LoadSpec, report: Report) -> ModelInfo:
        """Load a model. Raises EngineError."""
        ...

    async def end(self) -> Failure | None:
        """End, whatever it is doing, even before `start` has returned; a failure where that is impossible."""
        ...


H = TypeVar("H", bound=Host)


class _Load:
    """A load and those who wait for it."""

    def __init__(self, spec: LoadSpec, work: Coroutine[Any, Any, ModelInfo]) -> None:
        self._spec = spec
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._waiters = 0
        self._given_up = False

    @property
    def running(self) -> bool:
        return not self._given_up and not self._task.done()

    def serves(self, spec: LoadSpec) -> bool:
        return self.running and self._spec == spec

    def give_up(self) -> None:
        if self.running:
            self._given_up = True
            self._task.cancel()

    async def result(self) -> ModelInfo:
        """Wait for the end of the load; the last waiter that is cancelled takes the load along."""
        self._waiters += 1
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            if self._waiters == 1:
                self.give_up()
                await asyncio.wait({self._task})
            raise
        finally:
            self._waiters -= 1
        if self._task.cancelled():
            raise EngineError(
                "Loading was cancelled",
                f"Loading {self._spec.path} was given up because something else was asked for meanwhile.",
                "Load it again.",
            )
        error = self._task.exception()
        if isinstance(error, KoboldError):
            raise engine_error(error.failure) from error
        return self._task.result()


class Lifecycle(Generic[H]):
    """The state of one engine and its host; `open_host` makes a host for a spec, not yet started."""

    def __init__(self, open_host: Callable[[LoadSpec], H]) -> None:
        self._open_host = open_host
        self._cell = StateCell()
        self._turn = asyncio.Lock()
        self._load: _Load | None = None
        self._stopping: asyncio.Task[None] | None = None
        self.host: H | None = None
        self.spec: LoadSpec | None = None

    @property
    def state(self) -> InstanceState:
        """The present state."""
        return self._cell.state

    def watch(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` on every change; returns how to stop it."""
        return self._cell.watch(listener)

    def ready_host(self) -> H:
        """Return the host of a loaded model. Raises EngineError that says why there is none."""
        if isinstance(self.state, Failed):
            raise engine_error(self.state.failure)
        if not isinstance(self.state, Ready) or self.host is None:
            name = self.spec.path if self.spec else "The model"
            raise EngineError("No model is loaded", f"{name} is not loaded.", "Load it first.")
        return self.host

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        """Load `spec` unless it is loaded; see `Engine.ensure_ready`."""
        stopping = self._stopping is not None and not self._stopping.done()
        loading = self._load is not None and self._load.running
        if isinstance(self.state, Ready) and self.spec == spec and not stopping and not loading:
            return self.state.info
        load = self._load
        if load is None or not load.serves(spec):
            if load is not None:
                load.give_up()
            load = self._load = _Load(spec, self._load_next(spec))
        return await load.result()

    async def stop(self) -> None:
        """End the host and give up a load; see `Engine.stop`."""
        if self._load is not None:
            self._load.give_up()
        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.create_task(self._stop_next())
        await asyncio.shield(self._stopping)

    def lost(self, host: H) -> None:
        """Take note that a host ended by itself; while it loads, the load itself reports that."""
        if host is self.host and host.failure is not None and isinstance(self.state, Ready):
            self.host = None
            self._set_state(Failed(host.failure))

    def _set_state(self, state: InstanceState) -> None:
        """Change the state: the only place that does."""
        self._cell.set(state)

    async def _load_next(self, spec: LoadSpec) -> ModelInfo:
        async with self._turn:
            if isinstance(self.state, Ready) and self.spec == spec:
                return self.state.info
            if self.host is not None:
                await _to_the_end(self._end_host(self.host))
            self.spec = spec
            self._set_state(Starting())
            host = self.host = self._open_host(spec)
            try:
                info = await self._bring_up(host, spec)
            except asyncio.CancelledError:
                await _to_the_end(self._end_host(host))
                raise
            except Exception as error:
                await _to_the_end(self._fail(host, error))
                raise
            self._set_state(Ready(info))
            return info

    async def _bring_up(self, host: H, spec: LoadSpec) -> ModelInfo:
        await host.start()
        self._set_state(Loading(phase="starting"))
        info = await host.load(spec, self._set_state)
        if host.failure is not None:
            raise engine_error(host.failure)
        return info

    async def _fail(self, host: H, error: Exception) -> None:
        await host.end()
        self.host = None
        failure = (
            error.failure
            if isinstance(error, KoboldError)
            else Failure(title="Internal error", message=f"{type(error).__name__}: {error}")
        )
        self._set_state(Failed(failure))

    async def _stop_next(self) -> None:
        async with self._turn:
            if self.host is not None:
                await self._end_host(self.host)
            elif isinstance(self.state, Failed):
                self._set_state(Stopped())

    async def _end_host(self, host: H) -> None:
        if self.host is not host:
            return  # it ended by itself in the meantime, and the state says so
        self._set_state(Stopping())
        failure = await host.end()
        self.host = None
        self._set_state(Failed(failure) if failure else Stopped())


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end even if cancelled meanwhile, and pass the cancellation on afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
