"""Loads, stops and restarts models; every instance is one engine in the pool."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Protocol

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import Failed, Instance, InstanceId, InstanceState, LoadSpec, Ready, Stopped
from kobold_tui.engine.protocol import Engine
from kobold_tui.services.loop_bound import LoopBound


class Pool(Protocol):
    """The engines there are, by instance."""

    def get_or_create(self, instance_id: InstanceId, *, remote: bool = False) -> Engine:
        """Return the engine of an instance, one for an endpoint where it is `remote`."""
        ...

    def engines(self) -> Mapping[InstanceId, Engine]:
        """Return all engines."""
        ...

    def instances(self) -> tuple[Instance, ...]:
        """Return all instances as lists show them."""
        ...

    def watch(self, listener: Callable[[tuple[Instance, ...]], None]) -> Callable[[], None]:
        """Call `listener` with all instances after every change; returns how to stop that."""
        ...

    async def remove(self, instance_id: InstanceId) -> None:
        """Stop an engine and forget it."""
        ...

    async def close(self) -> None:
        """Stop all engines."""
        ...


class LoadingService(LoopBound):
    """The one place that decides which instance a load goes to and what becomes of the others."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._specs: dict[InstanceId, LoadSpec] = {}

    async def load(
        self,
        spec: LoadSpec,
        instance_id: InstanceId | None = None,
        *,
        replace: bool = False,
        on_state: Callable[[InstanceState], None] | None = None,
    ) -> Instance:
        """Load a model and return its instance; cancelling the call cancels the load.

        `replace` ends every other instance first. Raises EngineError when the model cannot be loaded.
        """
        self.check_loop()
        instance_id = instance_id or instance_name(spec)
        if replace:
            await self._stop_others(instance_id)
        engine = self._pool.get_or_create(instance_id, remote=spec.endpoint is not None)
        self._specs[instance_id] = spec
        forget = engine.watch(on_state) if on_state else None
        try:
            await engine.ensure_ready(spec)
        finally:
            if forget:
                forget()
        return self.instance(instance_id)

    async def restart(self, instance_id: InstanceId) -> Instance:
        """Load again what an instance held."""
        self.check_loop()
        engine = self.engine(instance_id)
        await engine.stop()
        return await self.load(self._specs[instance_id], instance_id)

    async def stop(self, instance_id: InstanceId) -> None:
        """Unload an instance; its memory is free when this returns."""
        self.check_loop()
        await self._pool.remove(instance_id)
        self._specs.pop(instance_id, None)

    def engine(self, instance_id: InstanceId) -> Engine:
        """Return the engine of an instance. Raises EngineError where there is none."""
        engine = self._pool.engines().get(instance_id)
        if engine is None:
            raise EngineError("No such instance", f"{instance_id} is not loaded.", "Load a model first.")
        return engine

    def instance(self, instance_id: InstanceId) -> Instance:
        """Return an instance as lists show it."""
        return next(instance for instance in self._pool.instances() if instance.id == instance_id)

    def instances(self) -> tuple[Instance, ...]:
        """Return all instances."""
        return self._pool.instances()

    def log_tail(self, instance_id: InstanceId) -> tuple[str, ...]:
        """Return the last lines that an instance wrote, oldest first; nothing for one that is gone."""
        engine = self._pool.engines().get(instance_id)
        return engine.log_tail if engine else ()

    async def watch(self) -> AsyncIterator[tuple[Instance, ...]]:
        """Yield all instances as they are now and after every change; only the newest is kept."""
        self.check_loop()
        changed = asyncio.Event()
        changed.set()
        forget = self._pool.watch(lambda _: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                yield self._pool.instances()
        finally:
            forget()

    async def close(self) -> None:
        """End every instance."""
        await self._pool.close()

    async def _stop_others(self, keep: InstanceId) -> None:
        others = [instance_id for instance_id in self._pool.engines() if instance_id != keep]
        await asyncio.gather(*(self.stop(instance_id) for instance_id in others))


def instance_name(spec: LoadSpec) -> InstanceId:
    """Return the name of an instance of `spec`: its file without the ending, safe for logs and paths.

    An endpoint is named by model and server.
    """
    if spec.endpoint is not None:
        return _safe_name("@".join(filter(None, (spec.endpoint.model, spec.endpoint.host))))
    return _safe_name(re.sub(r"-\d{5}-of-\d{5}$", "", Path(spec.path).stem))


def _safe_name(name: str) -> InstanceId:
    return InstanceId(re.sub(r"[^\w.+@-]+", "-", name)[:80] or "model")


def is_live(state: InstanceState) -> bool:
    """Whether a process stands behind the state."""
    return not isinstance(state, Stopped | Failed)


def is_ready(state: InstanceState) -> bool:
    """Whether the model answers."""
    return isinstance(state, Ready)
