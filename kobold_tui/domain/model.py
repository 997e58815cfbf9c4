"""What a model file says about itself, and one row of the catalogue.

A header holds no tensor data and no vocabulary: token arrays are represented by their length.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Kind = Literal["chat", "base", "embedding", "reranker", "projector", "adapter", "vocabulary", "unsupported"]
MetadataValue = bool | int | float | str | tuple[bool | int | float | str, ...] | None


class ArrayRef(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A long metadata array that was skipped: its length, GGUF element type and offset in the file."""

    length: int
    element_type: int
    offset: int


class TensorInfo(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One row of the tensor table: ggml dimensions (fastest first), ggml type id, bytes without padding.

    `offset` counts from the start of the file's tensor data.
    """

    name: str
    dimensions: tuple[int, ...]
    type_id: int
    type_name: str
    offset: int
    n_bytes: int

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        return math.prod(self.dimensions)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata and the tensor table of a GGUF model, its shards joined."""

    paths: tuple[str, ...]
    version: int
    file_bytes: int
    data_offset: int
    alignment: int
    metadata: dict[str, MetadataValue | ArrayRef]
    tensors: tuple[TensorInfo, ...]
    big_endian: bool = False

    @property
    def architecture(self) -> str:
        """`general.architecture`, or an empty string where the file does not say."""
        return self.text("general.architecture")

    def text(self, key: str, default: str = "") -> str:
        """Return a string value; `default` where the key is missing or of another type."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else default

    def integer(self, key: str, default: int = 0) -> int:
        """Return an integer value; `{arch}` in the key stands for the architecture."""
        value = self.metadata.get(key.replace("{arch}", self.architecture))
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def length(self, key: str) -> int:
        """Return the number of elements of an array, 0 where there is none."""
        value = self.metadata.get(key)
        if isinstance(value, ArrayRef):
            return value.length
        return len(value) if isinstance(value, tuple) else 0

    @property
    def n_layer(self) -> int:
        """Number of repeating blocks."""
        return self.integer("{arch}.block_count")

    @property
    def n_ctx_train(self) -> int:
        """Context length the model was trained with, in tokens."""
        return self.integer("{arch}.context_length")

    @property
    def n_embd(self) -> int:
        """Width of the residual stream."""
        return self.integer("{arch}.embedding_length")

    @property
    def n_vocab(self) -> int:
        """Number of tokens in the vocabulary."""
        return self.length("tokenizer.ggml.tokens") or self.integer("{arch}.vocab_size")

    @property
    def n_parameters(self) -> int:
        """Number of weights over all tensors."""
        return sum(tensor.n_elements for tensor in self.tensors)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors without padding."""
        return sum(tensor.n_bytes for tensor in self.tensors)

    @property
    def chat_template(self) -> str:
        """The Jinja template that came with the file; it is untrusted input."""
        return self.text("tokenizer.chat_template")


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the catalogue, however many files it has; `source` names the store it was found in.

    `family` is what its relatives share (the base name, else the architecture), `base_model` what it was
    made from, as the file says it. `modified_at` is the newest change of its files, in seconds since 1970.
    `copies` are the other places of the same model. `projectors` are the files that let it see or hear: one,
    or several where the choice is a person's.
    """

    path: str
    name: str
    architecture: str
    kind: Kind
    parameters: int
    quantization: str
    size_bytes: int
    n_layer: int
    n_ctx_train: int
    n_embd: int
    chat_template: bool
    shards: int
    source: str
    family: str = ""
    base_model: str = ""
    modified_at: float = 0.0
    copies: tuple[str, ...] = ()
    projectors: tuple[str, ...] = ()


class ModelFault(msgspec.Struct, frozen=True, kw_only=True):
    """A file that looks like a model and cannot be used, with the reason in words."""

    path: str
    reason: str


class Sighting(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A model seen at one place: its row, and what tells whether another row is the same model.

    `content` is the same for files with the same content (see `catalogue.identity`) and `inode` for one
    file under several names: device and inode of its first part. Empty and None are never the same.
    """

    entry: ModelEntry
    content: str = ""
    inode: tuple[int, int] | None = None
    projectors: tuple[str, ...] = ()


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All models as far as they are known now, one row each, sorted by name.

    `pending` names the places that are still being looked through, or that do not answer.
    """

    models: tuple[ModelEntry, ...] = ()
    failed: tuple[ModelFault, ...] = ()
    pending: tuple[str, ...] = ()
