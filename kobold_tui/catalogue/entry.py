"""One row of the catalogue, from the header of a model file.

The kind is decided by what the file says about itself, never by its name. All text of the file is cut and
stripped of control characters, because it goes to a terminal.
"""

from __future__ import annotations

import re
from pathlib import Path

from kobold_tui.catalogue.quantization import quantization_name
from kobold_tui.domain.model import Header, Kind, ModelEntry
from kobold_tui.gguf.header import read_header
from kobold_tui.gguf.shards import shard_name

ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
"""Architectures of llama.cpp that only make vectors."""

NOT_LANGUAGE_MODELS = frozenset(
    {
        "",
        "aura",
        "cosmos",
        "flux",
        "hidream",
        "hyvid",
        "ltxv",
        "lumina2",
        "pixart",
        "qwen_image",
        "sd1",
        "sd3",
        "sdxl",
        "wan",
        "wavtokenizer-dec",
        "whisper",
    }
)
"""Architectures in GGUF files of other programs (images, video, speech), and files without one."""

_KINDS_BY_TYPE: dict[str, Kind] = {
    "adapter": "adapter",
    "dataset": "unsupported",
    "imatrix": "unsupported",
    "mmproj": "projector",
    "vocab": "vocabulary",
}
_POOLING_RANK = 4
_MEANINGLESS = re.compile(
    r"[0-9a-f]{32,64}|\W*|(models?|hf|tmp|output|out|merged|checkpoint|snapshot|gguf|llama)(-?\d+)?",
    re.IGNORECASE,
)
_QUANTIZATION = re.compile(
    r"[-._](ud-)?(i?q\d\w*|tq\d\w*|b?f(16|32)|fp(16|32)|mxfp4\w*|nvfp4)$", re.IGNORECASE
)
_MAX_NAME = 120


def read_entry(path: Path, source: str) -> ModelEntry:
    """Return the row for the model at `path`. Raises ModelFileError where the file is not a whole model."""
    return entry_of(read_header(path), source)


def entry_of(header: Header, source: str) -> ModelEntry:
    """Return the row for a header that was read already."""
    return ModelEntry(
        path=header.paths[0],
        name=model_name(header),
        architecture=_printable(header.architecture),
        kind=model_kind(header),
        parameters=header.n_parameters,
        quantization=quantization_name(header),
        size_bytes=header.file_bytes,
        n_layer=header.n_layer,
        n_ctx_train=header.n_ctx_train,
        n_embd=header.n_embd,
        chat_template=bool(header.chat_template),
        shards=len(header.paths),
        source=source,
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
    if header.architecture in NOT_LANGUAGE_MODELS:
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
    stem = _printable(Path(shard.stem).name if shard else Path(header.paths[0]).stem)
    base, size = header.text("general.basename"), header.text("general.size_label")
    if base and size and _letters(base) in _letters(stem) and _letters(size) in _letters(stem):
        return _QUANTIZATION.sub("", stem)
    name = _printable(header.text("general.name"))
    if not _MEANINGLESS.fullmatch(name):
        return name
    base = _printable(base)
    return stem if _MEANINGLESS.fullmatch(base) else _printable(f"{base} {size}")


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _printable(text: str) -> str:
    """Return one line without control characters, cut with a mark."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MAX_NAME else line[: _MAX_NAME - 1] + "…"
