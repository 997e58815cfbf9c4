"""Places where models live: folders, and the stores of programs that lay out their files in their own way.

A store only names files; whether they are models is decided by reading them. It never stops for something
it cannot read: it reports it as a ModelFault and goes on. A model in several parts is given as its first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from kobold_tui.catalogue.folders import files_below, fold_shards
from kobold_tui.domain.model import ModelFault

HUGGING_FACE = "Hugging Face cache"
PYTHON_PACKAGE = "Python package"


class FoundFile(NamedTuple):
    """A file that may be a model. `name` and `projectors` are set where the store knows better."""

    path: Path
    source: str
    name: str = ""
    projectors: tuple[str, ...] = ()


class ModelStore(Protocol):
    """One place with models; `name` is how people are told of it."""

    @property
    def name(self) -> str:
        """What people call the place."""
        ...

    def find(self) -> Iterator[FoundFile | ModelFault]:
        """Yield the files that may be models, and what could not be read."""
        ...


class FolderStore:
    """A folder with everything below it, or a single file; `source` is how its models are marked.

    A folder that is not there is a fault only where somebody asked for it (`expected`).
    """

    def __init__(self, path: Path, source: str, *, expected: bool = True) -> None:
        self.path = path
        self.name = source
        self._expected = expected

    def find(self) -> Iterator[FoundFile | ModelFault]:
        """Yield the .gguf files of the folder, in the order of their paths."""
        if self.path.is_file():
            yield FoundFile(self.path, self.name)
            return
        if not self._expected and not self.path.exists():
            return
        for item in fold_shards(files_below(self.path)):
            yield item if isinstance(item, ModelFault) else FoundFile(item, self.name)


class FoldersStore:
    """Several folders that one program may use; those that are not there are passed over."""

    def __init__(self, paths: Sequence[Path], source: str) -> None:
        self.name = source
        self._folders = [FolderStore(path, source, expected=False) for path in paths]

    def find(self) -> Iterator[FoundFile | ModelFault]:
        """Yield the .gguf files of all folders."""
        for folder in self._folders:
            yield from folder.find()


class HuggingFaceStore:
    """The cache of huggingface-hub; only its snapshots are walked, since blobs have no names."""

    name = HUGGING_FACE

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self) -> Iterator[FoundFile | ModelFault]:
        """Yield the .gguf files of every snapshot."""
        try:
            repositories = sorted(path for path in self.path.iterdir() if path.name.startswith("models--"))
        except FileNotFoundError:
            return
        except OSError as error:
            yield ModelFault(path=str(self.path), reason=f"The folder cannot be read: {error.strerror}.")
            return
        for repository in repositories:
            yield from FolderStore(repository / "snapshots", self.name, expected=False).find()


class PackageStore:
    """GGUF files that installed Python packages ship, found by a search in their RECORD files."""

    name = PYTHON_PACKAGE

    def __init__(self, search_path: Sequence[str] | None = None) -> None:
        self._search_path = search_path

    def find(self) -> Iterator[FoundFile | ModelFault]:
        """Yield the files; a package that is half removed yields nothing."""
        folders = sys.path if self._search_path is None else self._search_path
        for folder in dict.fromkeys(folders):
            shipped = sorted(path for record in _records(folder) for path in _shipped(record))
            for item in fold_shards(Path(folder, path) for path in shipped):
                if isinstance(item, ModelFault):
                    yield item
                elif item.is_file():
                    yield FoundFile(item, self.name)


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
