"""Ollama's store: files without names, named by manifests.

Layout of `server/manifest` in Ollama: `manifests/HOST/NAMESPACE/MODEL/TAG` is a JSON document whose layers
name files `blobs/sha256-…`; the media type of a layer tells the model, its projector and its adapters apart.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kobold_tui.catalogue.stores import FoundFile
from kobold_tui.catalogue.text import printable
from kobold_tui.domain.model import ModelFault

OLLAMA = "Ollama"
MAX_MANIFESTS = 10_000
MAX_MANIFEST_BYTES = 1024 * 1024

_DEPTH = 4
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MODEL, _PROJECTOR, _ADAPTER = (
    f"application/vnd.ollama.image.{kind}" for kind in ("model", "projector", "adapter")
)


class _Layer(msgspec.Struct, frozen=True, rename={"media_type": "mediaType"}):
    media_type: str = ""
    digest: str = ""


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[_Layer, ...] = ()


class OllamaStore:
    """The models of Ollama under the names that people give it: `llama3.2:3b`."""

    name = OLLAMA

    def __init__(self, path: Path, *, expected: bool = False) -> None:
        self.path = path
        self._expected = expected

    def find(self) -> Iterator[FoundFile | ModelFault]:
        """Yield each blob once, with all names it goes by."""
        names: dict[Path, list[str]] = {}
        projectors: dict[Path, tuple[str, ...]] = {}
        for name, manifest in self._manifests():
            if isinstance(manifest, ModelFault):
                yield manifest
                continue
            blobs = {kind: self._blobs(manifest, kind) for kind in (_MODEL, _PROJECTOR, _ADAPTER)}
            for kind, paths in blobs.items():
                for path in paths:
                    label = name if kind == _MODEL else f"{name} {kind.rpartition('.')[2]}"
                    names.setdefault(path, []).append(label)
            for path in blobs[_MODEL]:
                projectors[path] = tuple(map(str, blobs[_PROJECTOR]))
        for path, labels in names.items():
            yield FoundFile(path, self.name, printable(", ".join(labels)), projectors.get(path, ()))

    def _manifests(self) -> Iterator[tuple[str, _Manifest | ModelFault]]:
        root = self.path / "manifests"
        if self._expected and not os.access(root, os.R_OK | os.X_OK):
            yield "", ModelFault(path=str(root), reason="The folder is not there or cannot be read.")
        for path in itertools.islice(_files_at_depth(root, _DEPTH), MAX_MANIFESTS):
            try:
                yield _model_name(path.relative_to(root)), _read(path)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                yield "", ModelFault(path=str(path), reason=f"{_why(error)} Pull the model again.")

    def _blobs(self, manifest: _Manifest, media_type: str) -> list[Path]:
        digests = (
            _DIGEST.fullmatch(layer.digest) for layer in manifest.layers if layer.media_type == media_type
        )
        return [self.path / "blobs" / f"sha256-{digest[1]}" for digest in digests if digest]


def _read(path: Path) -> _Manifest:
    with path.open("rb") as file:
        content = file.read(MAX_MANIFEST_BYTES + 1)
    if len(content) > MAX_MANIFEST_BYTES:
        raise msgspec.ValidationError("it is too large")
    return msgspec.json.decode(content, type=_Manifest)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The manifest cannot be read: {error.strerror}."
    return f"The manifest is damaged: {error}."


def _model_name(path: Path) -> str:
    """Return a name as Ollama shows it: what it takes for granted is left out."""
    host, namespace, model, tag = path.parts
    prefix = "" if host == "registry.ollama.ai" else f"{host}/"
    if prefix or namespace != "library":
        prefix += f"{namespace}/"
    return f"{prefix}{model}:{tag}"


def _files_at_depth(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the files exactly so many levels below, sorted; folders that cannot be read hold none."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    for path in entries:
        if depth > 1:
            yield from _files_at_depth(path, depth - 1)
        elif path.is_file():
            yield path
