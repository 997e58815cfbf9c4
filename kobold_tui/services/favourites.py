"""The models that a person likes and the ones used last, remembered from one start to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread

MOST_RECENT = 12
"""How many models count as used lately."""

MOST_FAVOURITES = 1000

Paths = tuple[str, ...]
Edit = Callable[[str, Callable[[object], object]], object]
"""Changes a remembered setting by its key and the value that it has now; it may block."""


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of favourites, and of models used lately with the last one first."""

    favourites: Paths = ()
    recent: Paths = ()


class FavouritesService(LoopBound):
    """Keeps the marks; `edit` writes them so that no other running copy of the program loses its own."""

    def __init__(self, edit: Edit, thread: OwnThread, marks: Marks | None = None) -> None:
        super().__init__()
        self._edit = edit
        self._thread = thread
        self._marks = marks or Marks()

    async def marks(self) -> Marks:
        """Return what is remembered."""
        self.check_loop()
        return self._marks

    async def toggle(self, places: Sequence[str]) -> Marks:
        """Make a model a favourite, or end that; `places` are all its paths, the one to remember first.

        Raises KoboldError where nothing can be remembered.
        """
        self.check_loop()
        is_favourite = any(place in self._marks.favourites for place in places)

        def edit(now: object) -> Paths:
            others = tuple(path for path in _paths(now, self._marks.favourites) if path not in places)
            return others if is_favourite else (places[0], *others)[:MOST_FAVOURITES]

        value = await self._thread.call(self._edit, "favourites", edit)
        self._marks = msgspec.structs.replace(self._marks, favourites=_paths(value))
        return self._marks

    async def note_used(self, path: str) -> Marks:
        """Remember that a model was used just now. Raises KoboldError where nothing can be remembered."""
        self.check_loop()
        if self._marks.recent[:1] == (path,):
            return self._marks

        def edit(now: object) -> Paths:
            others = (other for other in _paths(now, self._marks.recent) if other != path)
            return (path, *others)[:MOST_RECENT]

        value = await self._thread.call(self._edit, "recent_models", edit)
        self._marks = msgspec.structs.replace(self._marks, recent=_paths(value))
        return self._marks


def _paths(value: object, default: Paths = ()) -> Paths:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else default
