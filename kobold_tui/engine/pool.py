"""All engines of the program by name; how one is made is the composition root's business."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import Instance, InstanceId
from kobold_tui.engine.protocol import Engine

PoolListener = Callable[[tuple[Instance, ...]], None]

_log = logging.getLogger(__name__)


class EnginePool:
    """Engines by the name of their instance; all methods belong to one event loop."""

    def __init__(
        self,
        make_engine: Callable[[InstanceId], Engine],
        make_remote: Callable[[InstanceId], Engine] | None = None,
    ) -> None:
        self._make_engine = make_engine
        self._make_remote = make_remote or make_engine
        self._engines: dict[InstanceId, Engine] = {}
        self._unwatch: dict[InstanceId, Callable[[], None]] = {}
        self._listeners: list[PoolListener] = []
        self._closed = False

    def get_or_create(self, instance_id: InstanceId, *, remote: bool = False) -> Engine:
        """Return the engine of that name, a new one where there is none. Raises EngineError once closed.

        `remote` makes one for an endpoint instead of one for a model file.
        """
        engine = self._engines.get(instance_id)
        if engine is not None:
            return engine
        if self._closed:
            raise EngineError("The program is ending", f"{instance_id} cannot be loaded any more.")
        make = self._make_remote if remote else self._make_engine
        engine = self._engines[instance_id] = make(instance_id)
        self._unwatch[instance_id] = engine.watch(lambda _: self._tell())
        return engine

    def engines(self) -> Mapping[InstanceId, Engine]:
        """Return a live, read-only view of all engines."""
        return MappingProxyType(self._engines)

    def instances(self) -> tuple[Instance, ...]:
        """Return every engine that was ever asked to load something, in the order they were made."""
        return tuple(
            Instance(id=engine.id, spec=engine.spec, state=engine.state, pid=engine.pid)
            for engine in self._engines.values()
            if engine.spec is not None
        )

    def watch(self, listener: PoolListener) -> Callable[[], None]:
        """Call `listener` with all instances on any change; returns how to stop it."""
        self._listeners.append(listener)

        def unwatch() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unwatch

    async def remove(self, instance_id: InstanceId) -> None:
        """Stop an engine and forget it; an unknown name is nothing to do."""
        engine = self._engines.get(instance_id)
        if engine is None:
            return
        await engine.stop()
        if self._engines.get(instance_id) is engine:
            del self._engines[instance_id]
            self._unwatch.pop(instance_id)()
            self._tell()

    async def close(self) -> None:
        """Stop all engines at the same time; from now on no new one is made."""
        self._closed = True
        names = tuple(self._engines)
        results = await asyncio.gather(*(self.remove(name) for name in names), return_exceptions=True)
        for name, result in zip(names, results, strict=True):
            if isinstance(result, BaseException):
                _log.error("Instance %s did not stop", name, exc_info=result)

    def _tell(self) -> None:
        instances = self.instances()
        for listener in tuple(self._listeners):
            try:
                listener(instances)
            except Exception:  # noqa: BLE001 - what it was is logged, and none of the pool's business
                _log.exception("A listener of the pool failed")
