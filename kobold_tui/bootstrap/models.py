"""Puts the catalogue together: where models are looked for, and what is remembered of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.services.models import ModelsService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings


def models_service(
    paths: Paths, loaded: LoadedSettings, options: StartOptions, files: OwnThread
) -> ModelsService:
    """Return the service that lists and names models; `files` is the thread that reads them."""
    scan = partial(_scan, paths, loaded, options)
    return ModelsService(scan, _read_entry, files, loaded.settings.default_model)


def _scan(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> Iterable[ModelEntry | ModelFault]:
    from kobold_tui.catalogue.index import CatalogueIndex
    from kobold_tui.catalogue.scan import scan
    from kobold_tui.catalogue.stores import default_stores

    index = CatalogueIndex(paths.catalogue_index)
    folders = (*options.models_dirs, *loaded.settings.models_dirs)
    yield from scan(default_stores(folders, paths.models_dir, os.environ), index.read)
    index.save()


def _read_entry(path: Path, source: str) -> ModelEntry:
    from kobold_tui.catalogue.entry import read_entry

    return read_entry(path.expanduser(), source)
