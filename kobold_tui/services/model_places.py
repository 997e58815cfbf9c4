"""Places with models, each looked through in a thread of its own, so that one that hangs delays no other.

What all places hold is joined into one Catalogue. While somebody watches, every place is looked through
again and again: each pass costs little where nothing has changed, and the pause is a multiple of its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence

import msgspec

from kobold_tui.domain.joining import join
from kobold_tui.domain.model import Catalogue, ModelEntry, ModelFault, Sighting
from kobold_tui.services.own_thread import OwnThread

FRAME_SECONDS = 0.05
PATIENCE_SECONDS = 3.0
INTERVAL_SECONDS = 3.0
_PAUSE_FACTOR = 20

Seen = ModelEntry | Sighting | ModelFault


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place: its name for people, and a blocking function that looks through it."""

    name: str
    look: Callable[[], Iterable[Seen]]


class _Spot:
    """A place with what was seen there at the last pass, or so far at the first."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.thread = OwnThread(f"models in {place.name}" if place.name else "models")
        self.items: list[Sighting | ModelFault] = []
        self.is_known = False
        self.since: float | None = None
        self.asked = asyncio.Event()
        self.running: asyncio.Task[None] | None = None

    def is_late(self, patience: float) -> bool:
        """Whether the first pass has not ended yet, or one is running that takes long."""
        return not self.is_known or (self.since is not None and time.monotonic() - self.since > patience)


class ModelPlaces:
    """All places; used on one loop."""

    def __init__(
        self,
        places: Sequence[Place],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._spots = [_Spot(place) for place in places]
        self._patience = patience_seconds
        self._interval = interval_seconds
        self._news: set[asyncio.Event] = set()
        self._followers: list[asyncio.Task[None]] = []
        self._watchers = 0
        self._changes = 0

    @property
    def names(self) -> tuple[str, ...]:
        """All places, those that take precedence first."""
        return tuple(spot.place.name for spot in self._spots)

    async def once(self, names: Sequence[str] = ()) -> AsyncIterator[Catalogue]:
        """Look through all places, or those of these names, and yield what is known on the way.

        It ends when all have been looked through, or when those that are left have said nothing for some
        seconds: the last value names them as pending.
        """
        spots = self._named(names)
        async with contextlib.aclosing(self._ask(spots)) as news:
            async for _ in news:
                yield self._catalogue(spots)
                await asyncio.sleep(FRAME_SECONDS)
        yield self._catalogue(spots)

    async def looked_through(self, names: Sequence[str] = ()) -> Catalogue:
        """Return the last value of `once`."""
        spots = self._named(names)
        async with contextlib.aclosing(self._ask(spots)) as news:
            async for _ in news:
                continue
        return self._catalogue(spots)

    async def watch(self) -> AsyncGenerator[Catalogue, None]:
        """Yield what is known now, and every change of it, for as long as the caller listens."""
        self._watchers += 1
        if self._watchers == 1:
            self._followers = [asyncio.create_task(self._follow(spot)) for spot in self._spots]
        told: tuple[int, tuple[str, ...]] | None = None
        try:
            with self._listening() as news:
                while True:
                    state = (self._changes, self._pending(self._spots))
                    if state != told:
                        told = state
                        yield self._catalogue(self._spots)
                        await asyncio.sleep(FRAME_SECONDS)
                    await _heard(news, self._patience)
        finally:
            self._watchers -= 1
            if not self._watchers:
                for follower in self._followers:
                    follower.cancel()

    def look_again(self) -> None:
        """Let those who watch see changes now, not at the next pass."""
        for spot in self._spots:
            spot.asked.set()

    def _named(self, names: Sequence[str]) -> list[_Spot]:
        return [spot for spot in self._spots if spot.place.name in names] or self._spots

    async def _ask(self, spots: Sequence[_Spot]) -> AsyncGenerator[None, None]:
        """Look through places and yield at all news but the last, as long as there are any."""
        tasks = [self._pass(spot) for spot in spots]
        with self._listening() as news:
            while not all(task.done() for task in tasks) and await _heard(news, self._patience):
                if not all(task.done() for task in tasks):
                    yield

    def _pending(self, spots: Sequence[_Spot]) -> tuple[str, ...]:
        return tuple(spot.place.name for spot in spots if spot.is_late(self._patience))

    def _catalogue(self, spots: Sequence[_Spot]) -> Catalogue:
        models, failed = join(item for spot in spots for item in spot.items)
        return Catalogue(models=models, failed=failed, pending=self._pending(spots))

    @contextlib.contextmanager
    def _listening(self) -> Iterator[asyncio.Event]:
        news = asyncio.Event()
        self._news.add(news)
        try:
            yield news
        finally:
            self._news.discard(news)

    def _tell(self, items: list[Sighting | ModelFault] | None, spot: _Spot) -> None:
        """Wake up those who listen; `items` are those of a spot, where they have changed."""
        if items is not None:
            spot.items = items
            self._changes += 1
        for news in self._news:
            news.set()

    async def _follow(self, spot: _Spot) -> None:
        """Look through a place again and again; waiting costs twenty times the time of looking."""
        while True:
            began = time.monotonic()
            await asyncio.shield(self._pass(spot))
            pause = max(self._interval, _PAUSE_FACTOR * (time.monotonic() - began))
            await _heard(spot.asked, pause)

    def _pass(self, spot: _Spot) -> asyncio.Task[None]:
        """Return the pass that is running through a place, a new one where there is none."""
        if spot.running is None or spot.running.done():
            spot.since = time.monotonic()
            spot.running = asyncio.create_task(self._look_through(spot))
        return spot.running

    async def _look_through(self, spot: _Spot) -> None:
        found: list[Sighting | ModelFault] = []
        try:
            async for batch in spot.thread.stream(spot.place.look, frame_seconds=0.01):
                found += (_as_sighting(item) for item in batch)
                if not spot.is_known:
                    self._tell(list(found), spot)
        except Exception as error:  # noqa: BLE001 - one place must not take the others with it
            reason = f"This place could not be looked through: {error}"
            found.append(ModelFault(path=spot.place.name, reason=reason))
        spot.since, spot.is_known = None, True
        self._tell(found if found != spot.items else None, spot)


def _as_sighting(item: Seen) -> Sighting | ModelFault:
    return Sighting(entry=item) if isinstance(item, ModelEntry) else item


async def _heard(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event so long at most; returns whether it came, and clears it."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
