"""One row of the catalogue, from the header of a model file.

The kind is decided by what the file says about itself, never by its name. All text of the file is cut and
stripped of control characters, because it goes to a terminal.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from kobold_tui.catalogue.architectures import ENCODERS, LLAMA_CPP, NO_TEXT
from kobold_tui.catalogue.identity import content_identity
from kobold_tui.catalogue.quantization import quantization_name
from kobold_tui.catalogue.text import is_meaningless, printable
from kobold_tui.domain.model import Header, Kind, ModelEntry, Sighting
from kobold_tui.gguf.header import read_header
from kobold_tui.gguf.shards import shard_name

_KINDS_BY_TYPE: dict[str, Kind] = {
    "adapter": "adapter",
    "dataset": "unsupported",
    "imatrix": "unsupported",
    "mmproj": "projector",
    "vocab": "vocabulary",
}
_POOLING_RANK = 4
_QUANTIZATION = re.compile(
    r"[-._](ud-)?(i?q\d\w*|tq\d\w*|b?f(16|32)|fp(16|32)|mxfp4\w*|nvfp4)$", re.IGNORECASE
)
_HUB_ADDRESS = re.compile(r"https?://[^/]+/([^/]+/[^/?#]+)")


def read_entry(path: Path, source: str) -> ModelEntry:
    """Return the row for the model at `path`. Raises ModelFileError where the file is not a whole model."""
    return entry_of(read_header(path), source)


def read_sighting(path: Path, source: str) -> Sighting:
    """Return the row for the model at `path` with its identity. Raises ModelFileError."""
    header = read_header(path)
    return Sighting(entry=entry_of(header, source), content=content_identity(header))


def entry_of(header: Header, source: str) -> ModelEntry:
    """Return the row for a header that was read already."""
    return ModelEntry(
        path=header.paths[0],
        name=model_name(header),
        architecture=printable(header.architecture),
        kind=model_kind(header),
        parameters=header.n_parameters,
        quantization=quantization_name(header),
        size_bytes=header.file_bytes,
        n_layer=header.n_layer,
        n_ctx_train=header.n_ctx_train,
        n_embd=header.n_embd or _projected_width(header),
        chat_template=bool(header.chat_template),
        shards=len(header.paths),
        source=source,
        family=model_family(header),
        base_model=base_model(header),
        modified_at=_modified_at(header),
    )


def model_kind(header: Header) -> Kind:
    """Return what the model can be used for."""
    by_type = _KINDS_BY_TYPE.get(header.text("general.type"))
    if by_type is not None:
        return by_type
    if header.architecture == "clip":
        return "projector"
    if "adapter.type" in header.metadata:
        return "adapter"
    if header.architecture not in LLAMA_CPP or header.architecture in NO_TEXT:
        return "unsupported"
    if header.big_endian is not (sys.byteorder == "big"):
        return "unsupported"
    return _language_model_kind(header) if header.tensors else "vocabulary"


def _language_model_kind(header: Header) -> Kind:
    """Tell apart by pooling: 0 is none, 1 mean, 2 class token, 3 last token, 4 rank (llama.h)."""
    pooling = header.integer("{arch}.pooling_type", 0)
    if pooling == _POOLING_RANK:
        return "reranker"
    if pooling > 0 or header.architecture in ENCODERS:
        return "embedding"
    return "chat" if header.chat_template else "base"


def model_name(header: Header) -> str:
    """Return what people call the model.

    A file name made by the naming convention of GGUF (it holds base name and size) beats the name in the
    metadata, which converters often make from a training run; without either, the file name has to do.
    """
    shard = shard_name(header.paths[0])
    stem = printable(Path(shard.stem).name if shard else Path(header.paths[0]).stem)
    base, size = header.text("general.basename"), header.text("general.size_label")
    if base and size and _letters(base) in _letters(stem) and _letters(size) in _letters(stem):
        return _QUANTIZATION.sub("", stem)
    name = printable(header.text("general.name"))
    if not is_meaningless(name):
        return name
    base = printable(base)
    return stem if is_meaningless(base) else printable(f"{base} {size}")


def model_family(header: Header) -> str:
    """Return what relatives of the model share: its base name, else its architecture."""
    name = printable(header.text("general.basename"))
    return printable(header.architecture) if is_meaningless(name) else name


def base_model(header: Header) -> str:
    """Return what the model was made from, as `organization/name` where the file says so."""
    prefix = "general.base_model.0"
    if address := _HUB_ADDRESS.match(header.text(f"{prefix}.repo_url")):
        return printable(address[1])
    parts = (header.text(f"{prefix}.organization"), header.text(f"{prefix}.name"))
    return "/".join(printable(part) for part in parts if part) if parts[1] else ""


def _projected_width(header: Header) -> int:
    """Return the width of the model that a projector writes for, 0 for everything else."""
    keys = ("clip.vision.projection_dim", "clip.audio.projection_dim")
    return next(filter(None, (header.integer(key) for key in keys)), 0)


def _modified_at(header: Header) -> float:
    try:
        return max(os.stat(path).st_mtime for path in header.paths)  # noqa: PTH116 - paths are text here
    except OSError:
        return 0.0


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
