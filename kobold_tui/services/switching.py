"""Hot switching: from one model to another without a moment in which nothing answers, where memory allows.

Where both fit, the old model serves until the new one is ready, finishes what it is at, and goes. Where they
do not, the old one goes first; a load that fails or is cancelled then brings it back. So whatever happens,
what was there before is there afterwards, unless the new model is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec

from kobold_tui.domain.errors import EngineError, KoboldError
from kobold_tui.domain.instance import Instance, InstanceId, InstanceState, LoadSpec
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.services.loading import LoadingService, is_live
from kobold_tui.services.loop_bound import LoopBound

OnState = Callable[[InstanceId, InstanceState], None]


class Room(Protocol):
    """Who knows how much memory is left, for all copies of the program."""

    async def claim(
        self, instance_id: InstanceId, spec: LoadSpec, *, leaving: InstanceId | None = None
    ) -> MemoryEstimate | None:
        """Reserve memory for a load, counting that of `leaving` as free; returns what it will take.

        None where nobody can tell how much. Raises NoRoomError where it does not fit.
        """
        ...

    async def loaded(self, instance_id: InstanceId) -> None:
        """Take note that the load has ended well: the driver's figures hold the memory now."""
        ...

    async def release(self, instance_id: InstanceId) -> None:
        """Give the reservation back: the load has come to nothing."""
        ...


class NoRoomError(EngineError):
    """A model does not fit into what is left; `proposals` of the service say what would."""


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """A switch that went well; where it `overlapped`, the old model served until the new one was ready."""

    instance: Instance
    left: InstanceId | None = None
    overlapped: bool = False


class _Wish(msgspec.Struct, frozen=True):
    """What to load under which name; `placed` is `spec` with its placement decided."""

    name: InstanceId
    spec: LoadSpec
    placed: LoadSpec
    anyway: bool
    on_state: OnState | None


class SwitchingService(LoopBound):
    """Switches one at a time; a second one waits until the first has ended, also by being cancelled."""

    def __init__(self, loading: LoadingService, room: Room) -> None:
        super().__init__()
        self._loading = loading
        self._room = room
        self._turn = asyncio.Lock()

    async def switch(
        self,
        spec: LoadSpec,
        leaving: InstanceId | None = None,
        *,
        anyway: bool = False,
        on_state: OnState | None = None,
    ) -> Switched:
        """Load `spec` in place of `leaving`; cancelling the call leaves, or brings back, the old model.

        `anyway` loads although the memory does not suffice. Raises NoRoomError where it does not, even with
        the old model gone, and EngineError where the load fails.
        """
        self.check_loop()
        async with self._turn:
            old = self._live(leaving)
            if old is not None and old.spec == spec:
                return Switched(instance=old)
            placed = await self._loading.place(spec, leaving)
            wish = _Wish(self._loading.free_name(spec), spec, placed, anyway, on_state)
            try:
                estimate = await self._room.claim(wish.name, placed)
            except NoRoomError:
                if old is None and not anyway:
                    raise
                return await self._one_after_the_other(wish, old)
            instance = await self._load(wish, estimate, keep_failed=old is None)
            if old is None:
                return Switched(instance=instance, left=await self._forget_dead(leaving))
            self._loading.retire(old.id)
            return Switched(instance=instance, left=old.id, overlapped=True)

    async def _one_after_the_other(self, wish: _Wish, old: Instance | None) -> Switched:
        """Unload the old model first; requests that it works on end with it."""
        estimate = await self._claim(wish, old)
        if old is None:
            return Switched(instance=await self._load(wish, estimate, keep_failed=True))
        try:
            await self._loading.stop(old.id)
            instance = await self._load(wish, estimate, keep_failed=False)
        except (Exception, asyncio.CancelledError) as error:
            await _to_the_end(self._bring_back(old, error))
            raise
        return Switched(instance=instance, left=old.id)

    async def _claim(self, wish: _Wish, old: Instance | None) -> MemoryEstimate | None:
        try:
            return await self._room.claim(wish.name, wish.placed, leaving=old.id if old else None)
        except NoRoomError:
            if not wish.anyway:
                raise
            return None

    async def _load(self, wish: _Wish, estimate: MemoryEstimate | None, *, keep_failed: bool) -> Instance:
        """Load into a reservation; a failed instance stays in view only where nothing else is there."""
        name = wish.name
        tell = partial(wish.on_state, name) if wish.on_state else None
        try:
            instance = await self._loading.load(
                wish.spec, name, placed=wish.placed, estimate=estimate, on_state=tell
            )
        except asyncio.CancelledError:
            await _to_the_end(self._give_up(name))
            raise
        except Exception:
            await _to_the_end(self._room.release(name) if keep_failed else self._give_up(name))
            raise
        await self._room.loaded(name)
        return instance

    async def _give_up(self, name: InstanceId) -> None:
        await self._loading.stop(name)
        await self._room.release(name)

    async def _bring_back(self, old: Instance, error: BaseException) -> None:
        """Load the old model again. Raises EngineError where not even that works."""
        try:
            placed = msgspec.structs.replace(old.spec, options=old.placed or old.spec.options)
            await self._loading.load(old.spec, old.id, placed=placed, estimate=old.estimate)
        except KoboldError as again:
            words = f"{error} " if isinstance(error, KoboldError) else ""
            raise EngineError(
                "Neither model is loaded",
                f"{words}{old.id}, which was loaded before, could not be brought back: {again.message}",
                again.hint,
            ) from error

    async def _forget_dead(self, instance_id: InstanceId | None) -> InstanceId | None:
        """Take an instance out of the list that failed or was stopped before."""
        there = any(one.id == instance_id for one in self._loading.instances())
        if instance_id is None or not there:
            return None
        await self._loading.stop(instance_id)
        return instance_id

    def _live(self, instance_id: InstanceId | None) -> Instance | None:
        found = (one for one in self._loading.instances() if one.id == instance_id and is_live(one.state))
        return next(found, None)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end even if cancelled meanwhile, and pass the cancellation on afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
