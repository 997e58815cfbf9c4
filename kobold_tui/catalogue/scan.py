"""The catalogue as a stream: every model of every store, read as it is found.

A plain generator, to be run in a thread of its own: a slow network mount holds up nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kobold_tui.catalogue.entry import read_entry
from kobold_tui.catalogue.stores import ModelStore, find_models
from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import ModelEntry, ModelFault


def scan(
    stores: Iterable[ModelStore], read: Callable[[Path, str], ModelEntry] = read_entry
) -> Iterator[ModelEntry | ModelFault]:
    """Yield rows and faults in the order of the stores; one bad file never ends the walk.

    `read` turns a path and its source into a row; a CatalogueIndex remembers rows between runs.
    """
    for item in find_models(stores):
        if isinstance(item, ModelFault):
            yield item
            continue
        path, source = item
        try:
            yield read(path, source)
        except ModelFileError as error:
            yield ModelFault(path=str(path), reason=" ".join(filter(None, (error.message, error.hint))))
