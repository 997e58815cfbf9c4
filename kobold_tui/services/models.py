"""Which models there are, what one of them is, and which one a person means by a name or a path."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.model import Catalogue, ModelEntry, ModelFault
from kobold_tui.domain.model_details import ModelDetails
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.model_names import by_name, looks_like_path, named, the_only
from kobold_tui.services.model_places import ModelPlaces, Place
from kobold_tui.services.own_thread import OwnThread

Scan = Callable[[], Iterable[ModelEntry | ModelFault]]


class ModelsService(LoopBound):
    """The catalogue. Every place is looked through in a thread of its own; rows arrive as they are found.

    `scan` is a function that finds all models, or the places that each have one. `thread` reads single files.
    """

    def __init__(
        self,
        scan: Scan | ModelPlaces,
        read_entry: Callable[[Path, str], ModelEntry],
        thread: OwnThread,
        default_model: str = "",
        *,
        read_details: Callable[[Path], ModelDetails] | None = None,
    ) -> None:
        super().__init__()
        self._places = scan if isinstance(scan, ModelPlaces) else ModelPlaces([Place(name="", look=scan)])
        self._read_entry = read_entry
        self._read_details = read_details
        self._thread = thread
        self._default_model = default_model

    async def scan(self) -> AsyncIterator[ModelEntry | ModelFault]:
        """Yield every model and every file that only looks like one, once all places were asked.

        A row of the same path replaces the one before: a model was seen at a further place.
        """
        self.check_loop()
        given: dict[str, ModelEntry | ModelFault] = {}
        catalogue = Catalogue()
        async for catalogue in self._places.once():
            for row in _rows(catalogue, given):
                given[row.path] = row
                yield row
        for place in catalogue.pending:
            yield _no_answer(place)

    async def watch(self) -> AsyncGenerator[Catalogue, None]:
        """Yield the whole catalogue as it is known now, and after every change on disk."""
        self.check_loop()
        async with contextlib.aclosing(self._places.watch()) as catalogues:
            async for catalogue in catalogues:
                yield catalogue

    def look_again(self) -> None:
        """Let those who watch see changes on disk now."""
        self.check_loop()
        self._places.look_again()

    async def list_models(
        self, places: Sequence[str] = ()
    ) -> tuple[tuple[ModelEntry, ...], tuple[ModelFault, ...]]:
        """Return all models sorted by name, and all faults; of these places alone, where some are named.

        A place that does not answer is a fault.
        """
        self.check_loop()
        catalogue = await self._places.looked_through(places)
        return catalogue.models, (*catalogue.failed, *map(_no_answer, catalogue.pending))

    async def details(self, path: str | Path) -> ModelDetails:
        """Return everything that a model file says about itself. Raises ModelFileError."""
        self.check_loop()
        if self._read_details is None:
            raise KoboldError("No details", f"{path}: files cannot be read here.", "Use the real catalogue.")
        return await self._thread.call(self._read_details, Path(path))

    async def resolve(self, reference: str | None) -> ModelEntry:
        """Return the model that `reference` names: a path, a file name, or (part of) a name.

        None stands for the settings' default, else for the only chat model there is. Raises UsageError
        where that leaves none or several, ModelFileError where the file is broken.
        """
        self.check_loop()
        reference = reference or self._default_model
        if reference and looks_like_path(reference):
            return await self._thread.call(self._read_entry, Path(reference), "command line")
        models, _ = await self.list_models()
        if not reference:
            return the_only(models)
        if not named(reference, models) and reference.casefold().endswith(".gguf"):
            return await self._thread.call(self._read_entry, Path(reference), "command line")
        return by_name(reference, models)


def _rows(
    catalogue: Catalogue, given: dict[str, ModelEntry | ModelFault]
) -> Iterable[ModelEntry | ModelFault]:
    """Return what is new against the rows that were given; a model keeps the path it was given under."""
    for model in catalogue.models:
        places = (model.path, *model.copies)
        path = next((place for place in places if place in given), model.path)
        copies = tuple(place for place in places if place != path)
        row = msgspec.structs.replace(model, path=path, copies=copies)
        if given.get(path) != row:
            yield row
    yield from (fault for fault in catalogue.failed if given.get(fault.path) != fault)


def _no_answer(place: str) -> ModelFault:
    return ModelFault(path=place, reason="This place does not answer; its models are missing here.")
