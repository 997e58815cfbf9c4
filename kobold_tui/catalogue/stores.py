"""The places where models live, and a walk over them that streams what it finds.

A store only names files; whether they are models is decided by reading them. The walk never stops for a
place it cannot read: it reports it as a ModelFault and goes on. Every file is given once, even where links
lead to it from several stores, and a model in several parts is given as its first part.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from kobold_tui.catalogue.folders import files_below, fold_shards
from kobold_tui.domain.model import ModelFault

HUGGING_FACE = "Hugging Face cache"
OWN_FOLDER = "own models"
PYTHON_PACKAGE = "Python package"


class ModelStore(Protocol):
    """One place with models."""

    def find(self) -> Iterator[tuple[Path, str] | ModelFault]:
        """Yield files with the name of their source, and what could not be read."""
        ...


class FolderStore:
    """A folder with everything below it, or a single file; `source` is how its models are marked.

    A folder that is not there is a fault only where somebody asked for it (`expected`).
    """

    def __init__(self, path: Path, source: str, *, expected: bool = True) -> None:
        self.path = path
        self.source = source
        self._expected = expected

    def find(self) -> Iterator[tuple[Path, str] | ModelFault]:
        """Yield the .gguf files of the folder, in the order of their paths."""
        if self.path.is_file():
            yield self.path, self.source
            return
        if not self._expected and not self.path.exists():
            return
        for item in fold_shards(files_below(self.path)):
            yield item if isinstance(item, ModelFault) else (item, self.source)


class HuggingFaceStore:
    """The cache of huggingface-hub; only its snapshots are walked, since blobs have no names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self) -> Iterator[tuple[Path, str] | ModelFault]:
        """Yield the .gguf files of every snapshot."""
        try:
            repositories = sorted(self.path.glob("models--*"))
        except OSError as error:
            yield ModelFault(path=str(self.path), reason=f"The folder cannot be read: {error.strerror}.")
            return
        for repository in repositories:
            yield from FolderStore(repository / "snapshots", HUGGING_FACE, expected=False).find()


class PackageStore:
    """GGUF files that installed Python packages ship, found by a search in their RECORD files."""

    def __init__(self, search_path: Sequence[str] | None = None) -> None:
        self._search_path = search_path

    def find(self) -> Iterator[tuple[Path, str] | ModelFault]:
        """Yield the files; a package that is half removed yields nothing."""
        folders = sys.path if self._search_path is None else self._search_path
        for folder in dict.fromkeys(folders):
            shipped = sorted(path for record in _records(folder) for path in _shipped(record))
            for item in fold_shards(Path(folder, path) for path in shipped):
                if isinstance(item, ModelFault):
                    yield item
                elif item.is_file():
                    yield item, PYTHON_PACKAGE


def default_stores(
    models_dirs: Iterable[str], own_dir: Path, environ: Mapping[str, str]
) -> tuple[ModelStore, ...]:
    """Return all stores: the configured folders first, then our own, packages, and Hugging Face's cache."""
    configured = [Path(folder).expanduser() for folder in models_dirs]
    return (
        *(FolderStore(folder, str(folder)) for folder in configured),
        FolderStore(own_dir, OWN_FOLDER, expected=False),
        PackageStore(),
        HuggingFaceStore(hugging_face_cache(environ)),
    )


def hugging_face_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder that huggingface-hub uses: HF_HUB_CACHE, else HF_HOME/hub, else below ~/.cache."""
    if cache := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    cache_home = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache_home).expanduser() / "huggingface" / "hub"


def find_models(stores: Iterable[ModelStore]) -> Iterator[tuple[Path, str] | ModelFault]:
    """Yield the files of all stores, each file once, and the faults met on the way."""
    seen: set[tuple[int, int]] = set()
    for store in stores:
        for item in store.find():
            if isinstance(item, ModelFault):
                yield item
                continue
            try:
                status = item[0].stat()
            except OSError as error:
                yield ModelFault(path=str(item[0]), reason=f"The file cannot be opened: {error.strerror}.")
                continue
            identity = (status.st_dev, status.st_ino)
            if identity not in seen:
                seen.add(identity)
                yield item


def _records(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder or ".") as entries:
            yield from (f"{entry.path}/RECORD" for entry in entries if entry.name.endswith(".dist-info"))
    except OSError:  # entries of sys.path need not exist, or are archives
        return


def _shipped(record: str) -> list[str]:
    """Return the .gguf paths of a RECORD file, relative to the folder of the package."""
    try:
        with open(record, "rb", buffering=0) as file:  # noqa: PTH123 - the fastest way, for every package
            content = file.read()
    except OSError:
        return []
    if b".gguf" not in content:
        return []
    lines = content.decode("utf-8", "replace").splitlines()
    paths = (line.rsplit(",", 2)[0].strip('"') for line in lines if ".gguf" in line)
    return [path for path in paths if path.endswith(".gguf")]
