"""Puts the catalogue together: where models are looked for, and what is remembered of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.domain.model import ModelEntry, ModelFault, Sighting
from kobold_tui.domain.model_details import ModelDetails
from kobold_tui.services.model_places import ModelPlaces, Place
from kobold_tui.services.models import ModelsService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings

if TYPE_CHECKING:
    from kobold_tui.catalogue.index import CatalogueIndex
    from kobold_tui.catalogue.stores import ModelStore


def models_service(
    paths: Paths, loaded: LoadedSettings, options: StartOptions, files: OwnThread
) -> ModelsService:
    """Return the service that lists and names models; `files` is the thread that reads single files."""
    from kobold_tui.catalogue.index import CatalogueIndex
    from kobold_tui.catalogue.places import default_stores

    index = CatalogueIndex(paths.catalogue_index)
    folders = (*options.models_dirs, *loaded.settings.models_dirs)
    stores = default_stores(folders, paths.models_dir, os.environ)
    places = ModelPlaces([Place(name=store.name, look=partial(_look, store, index)) for store in stores])
    return ModelsService(
        places,
        _read_entry,
        files,
        loaded.settings.default_model,
        read_details=_read_details,
    )


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
