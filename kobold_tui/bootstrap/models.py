"""Puts the catalogue together: where models are looked for, and what is remembered of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.domain.model import ModelEntry, ModelFault, Sighting
from kobold_tui.domain.model_details import ModelDetails
from kobold_tui.domain.removal import Removal
from kobold_tui.services.model_places import ModelPlaces, Place
from kobold_tui.services.models import ModelsService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings

if TYPE_CHECKING:
    from kobold_tui.catalogue.index import CatalogueIndex
    from kobold_tui.catalogue.stores import ModelStore
    from kobold_tui.domain.memory import ModelShape
    from kobold_tui.services.favourites import FavouritesService
    from kobold_tui.services.loading import LoadingService
    from kobold_tui.services.model_files import ModelFilesService
    from kobold_tui.services.suitability import SuitabilityService


def models_service(
    paths: Paths, loaded: LoadedSettings, stores: Iterable[ModelStore], files: OwnThread
) -> ModelsService:
    """Return the service that lists and names models; `files` is the thread that reads single files."""
    from kobold_tui.catalogue.index import CatalogueIndex

    index = CatalogueIndex(paths.catalogue_index)
    places = ModelPlaces([Place(name=store.name, look=partial(_look, store, index)) for store in stores])
    return ModelsService(
        places,
        _read_entry,
        files,
        loaded.settings.default_model,
        read_details=_read_details,
    )


def model_files_service(loading: LoadingService) -> ModelFilesService:
    """Return the service that deletes models and shows their folders."""
    from kobold_tui.services.loading import is_live
    from kobold_tui.services.model_files import FolderWindow, ModelFilesService

    def in_use() -> Iterable[str]:
        return (one.spec.path for one in loading.instances() if is_live(one.state))

    def plan(model: ModelEntry) -> Removal:
        from kobold_tui.catalogue.removal import plan_removal

        return plan_removal(model)

    def carry_out(removal: Removal) -> int:
        from kobold_tui.catalogue.removal import carry_out

        return carry_out(removal)

    return ModelFilesService(plan, carry_out, in_use, FolderWindow(os.environ), OwnThread("model files"))


def favourites_service(paths: Paths, loaded: LoadedSettings, files: OwnThread) -> FavouritesService:
    """Return the service that remembers favourites and what was used last."""
    from kobold_tui.services.favourites import FavouritesService, Marks
    from kobold_tui.storage.settings import edit_state

    settings = loaded.settings
    marks = Marks(favourites=settings.favourites, recent=settings.recent_models)
    return FavouritesService(partial(edit_state, paths), files, marks)


def suitability_service(
    loaded: LoadedSettings, accelerators: Callable[[], tuple[str, ...]]
) -> SuitabilityService:
    """Return the service that tells where models would fit, loaded as the settings say."""
    from kobold_tui.services.suitability import SuitabilityService

    options = loaded.settings.load
    return SuitabilityService(_read_shape, OwnThread("model headers"), accelerators, options)


def _read_shape(path: str) -> ModelShape:
    from kobold_tui.domain.memory import shape_of
    from kobold_tui.gguf.header import read_header

    return shape_of(read_header(Path(path)))


def _look(store: ModelStore, index: CatalogueIndex) -> Iterable[Sighting | ModelFault]:
    from kobold_tui.catalogue.scan import look_through

    yield from look_through(store, index.read)
    index.save()


def _read_entry(path: Path, source: str) -> ModelEntry:
    from kobold_tui.catalogue.entry import read_entry

    return read_entry(path.expanduser(), source)


def _read_details(path: Path) -> ModelDetails:
    from kobold_tui.catalogue.details import read_details

    return read_details(path)
