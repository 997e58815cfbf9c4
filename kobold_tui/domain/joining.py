"""One row for each model, out of what was seen in all places.

The same file under several names, and files with the same content, are one row: the place that was asked for
first gives its path, the others are its copies. Projectors are attached to the models that they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

import msgspec

from kobold_tui.domain.model import ModelEntry, ModelFault, Sighting

_LANGUAGE_MODELS = frozenset({"chat", "base"})
_PROJECTOR_WORDS = re.compile(r"mm-?proj(ector)?|(?<![a-z])(clip|vision|model)(?![a-z])", re.IGNORECASE)
_QUANTIZATION = re.compile(
    r"[-._](ud[-_])?(i?q\d\w*|tq\d\w*|b?f(16|32)|fp(16|32)|mxfp4\w*|nvfp4)(?=$|[-._])", re.IGNORECASE
)


class _Group:
    """All sightings of one model, the first of them first."""

    def __init__(self, sighting: Sighting) -> None:
        self.entry = sighting.entry
        self.paths = [sighting.entry.path]
        self.projectors = list(sighting.projectors)

    def add(self, sighting: Sighting) -> None:
        if sighting.entry.path not in self.paths:
            self.paths.append(sighting.entry.path)
        self.projectors += [path for path in sighting.projectors if path not in self.projectors]

    def row(self) -> ModelEntry:
        if len(self.paths) == 1 and not self.projectors:
            return self.entry
        return msgspec.structs.replace(
            self.entry, copies=tuple(self.paths[1:]), projectors=tuple(self.projectors)
        )


def join(seen: Iterable[Sighting | ModelFault]) -> tuple[tuple[ModelEntry, ...], tuple[ModelFault, ...]]:
    """Return the rows, sorted by name, and the faults, sorted by path.

    `seen` is in the order in which places take precedence.
    """
    faults: dict[str, ModelFault] = {}
    groups: dict[object, _Group] = {}
    for item in seen:
        if isinstance(item, ModelFault):
            faults.setdefault(item.path, item)
            continue
        keys = [key for key in (item.entry.path, item.inode, item.content) if key]
        group = next((groups[key] for key in keys if key in groups), None)
        if group is None:
            group = _Group(item)
        else:
            group.add(item)
        for key in keys:
            groups.setdefault(key, group)
    distinct = list(dict.fromkeys(groups.values()))
    _attach_projectors(distinct)
    rows = sorted((group.row() for group in distinct), key=_order)
    return tuple(rows), tuple(sorted(faults.values(), key=lambda fault: fault.path))


def _order(row: ModelEntry) -> tuple[str, int, str]:
    return row.name.casefold(), row.size_bytes, row.path


def _attach_projectors(groups: Sequence[_Group]) -> None:
    projectors = [group for group in groups if group.entry.kind == "projector"]
    if not projectors:
        return
    folders: dict[str, list[_Group]] = {}
    for group in groups:
        if group.entry.kind in _LANGUAGE_MODELS:
            for folder in {_folder(path) for path in group.paths}:
                folders.setdefault(folder, []).append(group)
    for projector in projectors:
        for path in projector.paths:
            for model in _partners(projector.entry, folders.get(_folder(path), [])):
                if path not in model.projectors:
                    model.projectors.append(path)
    for group in groups:
        group.projectors.sort()


def _partners(projector: ModelEntry, models: Sequence[_Group]) -> list[_Group]:
    """Return the models beside a projector that it fits: by name, else by the width it projects to.

    One whose name speaks of no model is offered to all models of its width; without a width, to all.
    """
    named = [model for model in models if _same_name(projector, model.entry)]
    if named:
        return named
    if _letters(_bare(projector.path)):
        return []
    width = projector.n_embd
    wide = [model for model in models if model.entry.n_embd == width]
    return wide if width and wide else list(models)


def _same_name(projector: ModelEntry, model: ModelEntry) -> bool:
    if projector.base_model and projector.base_model.casefold() == model.base_model.casefold():
        return True
    bare = _letters(_bare(projector.path))
    names = {_letters(_bare(model.path)), _letters(model.name)}
    if bare and any(name == bare or name.startswith(bare) for name in names):
        return True
    named = _letters(_bare(projector.name))
    return bool(named) and named in names


def _bare(path: str) -> str:
    """Return what a file name says of a model: without quantization and the words for projectors."""
    stem = re.sub(r"\.gguf$", "", PurePath(path).name, flags=re.IGNORECASE)
    return _PROJECTOR_WORDS.sub("", _QUANTIZATION.sub("", stem))


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
