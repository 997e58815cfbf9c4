"""Loads, parks, stops and restarts models; every instance is one engine in the pool."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import Failed, Instance, InstanceId, InstanceState, LoadSpec, Ready, Stopped
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.protocol import Engine
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.used_engine import Clock, Use, UsedEngine

Decide = Callable[[LoadSpec, InstanceId | None], Awaitable[LoadSpec]]


class Pool(Protocol):
    """The engines there are, by instance."""

    def get_or_create(self, instance_id: InstanceId, *, remote: bool = False) -> Engine:
        """Return the engine of an instance, one for an endpoint where it is `remote`."""
        ...

    def engines(self) -> Mapping[InstanceId, Engine]:
        """Return all engines."""
        ...

    def instances(self) -> tuple[Instance, ...]:
        """Return all instances as the engines know them."""
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


class _Facts:
    """What is known of an instance beyond its engine."""

    def __init__(self, spec: LoadSpec, use: Use) -> None:
        self.spec = spec
        self.placed = spec
        self.n_loads = 0
        self.use = use
        self.loaded_at: float | None = None
        self.estimate: MemoryEstimate | None = None
        self.is_pinned = False
        self.is_parked = False


class LoadingService(LoopBound):
    """The instances there are, and what becomes of each; which one makes way for which is decided above.

    Instances keep the spec that was asked for, also where the program has decided what it leaves open.
    """

    def __init__(self, pool: Pool, clock: Clock = time.time) -> None:
        super().__init__()
        self._decide: Decide | None = None
        self._pool = pool
        self._clock = clock
        self._facts: dict[InstanceId, _Facts] = {}
        self._listeners: list[Callable[[], None]] = []
        self._retiring: set[asyncio.Task[None]] = set()

    def decide_with(self, decide: Decide) -> None:
        """Have `decide` say what to load where a spec leaves its placement open.

        It gets the name of an instance whose memory counts as free, because the new one takes its place.
        """
        self._decide = decide

    async def place(self, spec: LoadSpec, leaving: InstanceId | None = None) -> LoadSpec:
        """Return `spec` with its placement decided, for when `leaving` is gone."""
        self.check_loop()
        return spec if self._decide is None else await self._decide(spec, leaving)

    async def load(
        self,
        spec: LoadSpec,
        instance_id: InstanceId | None = None,
        *,
        placed: LoadSpec | None = None,
        estimate: MemoryEstimate | None = None,
        on_state: Callable[[InstanceState], None] | None = None,
    ) -> Instance:
        """Load a model and return its instance; cancelling the call cancels the load.

        `placed` is the spec as `place` has decided it; without it that is done first. Raises EngineError when
        the model cannot be loaded.
        """
        self.check_loop()
        instance_id = instance_id or instance_name(spec)
        engine = self._pool.get_or_create(instance_id, remote=spec.endpoint is not None)
        facts = self._facts.setdefault(instance_id, _Facts(spec, Use(self._tell, self._clock)))
        placed = placed or await self.place(spec, instance_id)
        if facts.spec == spec and (facts.n_loads or is_live(engine.state)):
            placed = facts.placed  # it is there, or another call has begun to load it meanwhile
        facts.spec, facts.placed, facts.estimate = spec, placed, estimate or facts.estimate
        facts.is_pinned = facts.is_pinned or spec.is_pinned
        forget = engine.watch(on_state) if on_state else None
        facts.n_loads += 1
        try:
            await engine.ensure_ready(placed)
        finally:
            facts.n_loads -= 1
            if forget:
                forget()
        facts.loaded_at, facts.is_parked = self._clock(), False
        return self.instance(instance_id)

    async def restart(self, instance_id: InstanceId) -> Instance:
        """Load again what an instance held."""
        self.check_loop()
        await self.engine(instance_id).stop()
        return await self.load(self._facts[instance_id].spec, instance_id)

    async def stop(self, instance_id: InstanceId) -> None:
        """Unload an instance and forget it; its memory is free when this returns."""
        self.check_loop()
        await self._pool.remove(instance_id)
        self._facts.pop(instance_id, None)

    async def park(self, instance_id: InstanceId) -> None:
        """Give the memory of an instance back until it is asked something again."""
        self.check_loop()
        facts = self._facts.get(instance_id)
        engine = self._pool.engines().get(instance_id)
        if facts is None or engine is None or not is_live(engine.state):
            return
        facts.is_parked = True
        await engine.stop()

    def retire(self, instance_id: InstanceId) -> None:
        """Stop an instance as soon as the requests that it works on have ended."""
        self.check_loop()
        task = asyncio.create_task(self._retire(instance_id))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def pin(self, instance_id: InstanceId, *, pinned: bool) -> None:
        """Keep an instance from being parked or proposed to make room; or no longer."""
        self.check_loop()
        if facts := self._facts.get(instance_id):
            facts.is_pinned = pinned
            self._tell()

    def engine(self, instance_id: InstanceId) -> Engine:
        """Return the engine of an instance, for requests. Raises EngineError where there is none."""
        engine = self._pool.engines().get(instance_id)
        facts = self._facts.get(instance_id)
        if engine is None or facts is None:
            raise EngineError("No such instance", f"{instance_id} is not loaded.", "Load a model first.")
        return UsedEngine(engine, facts.use, partial(self._wake, instance_id))

    def instance(self, instance_id: InstanceId) -> Instance:
        """Return an instance as lists show it."""
        return next(instance for instance in self.instances() if instance.id == instance_id)

    def instances(self) -> tuple[Instance, ...]:
        """Return all instances."""
        return tuple(self._with_facts(instance) for instance in self._pool.instances())

    def free_name(self, spec: LoadSpec) -> InstanceId:
        """Return a name for an instance of `spec` that none has: that of its file, with a number from 2."""
        base = instance_name(spec)
        names = self._pool.engines()
        if base not in names:
            return base
        return next(
            name for n in range(2, len(names) + 3) if (name := InstanceId(f"{base}-{n}")) not in names
        )

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
        self._listeners.append(changed.set)
        try:
            while True:
                await changed.wait()
                changed.clear()
                yield self.instances()
        finally:
            forget()
            self._listeners.remove(changed.set)

    async def close(self) -> None:
        """End every instance."""
        for task in tuple(self._retiring):
            task.cancel()
        await self._pool.close()

    async def _retire(self, instance_id: InstanceId) -> None:
        if facts := self._facts.get(instance_id):
            await facts.use.idle.wait()
            await self.stop(instance_id)

    async def _wake(self, instance_id: InstanceId) -> None:
        facts = self._facts.get(instance_id)
        if facts is not None and facts.is_parked:
            await self.load(facts.spec, instance_id)

    def _with_facts(self, instance: Instance) -> Instance:
        facts = self._facts.get(instance.id)
        if facts is None:
            return instance
        return msgspec.structs.replace(
            instance,
            spec=facts.spec,
            placed=None if facts.placed == facts.spec else facts.placed.options,
            active=facts.use.active,
            tokens_served=facts.use.tokens_served,
            last_used=facts.use.last_used,
            loaded_at=facts.loaded_at,
            is_pinned=facts.is_pinned,
            is_parked=facts.is_parked and not is_live(instance.state),
            estimate=facts.estimate,
        )

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()


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
