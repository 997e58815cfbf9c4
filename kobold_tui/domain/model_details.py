"""Everything that a model file says about itself, and what follows from its tensor table."""

from __future__ import annotations

from typing import Literal

import msgspec

from kobold_tui.domain.model import MetadataValue, ModelEntry

Section = Literal[
    "general", "model", "attention", "experts", "rope", "state space", "tokenizer", "split", "other"
]
SECTIONS: tuple[Section, ...] = (
    "general",
    "model",
    "attention",
    "experts",
    "rope",
    "state space",
    "tokenizer",
    "split",
    "other",
)


class LongArray(msgspec.Struct, frozen=True, kw_only=True):
    """A metadata array that is not kept: how many elements of which type it has."""

    length: int
    element_type: str


class MetadataSection(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of one subject by full keys, in the order of the file; long texts are cut with a mark."""

    title: Section
    values: dict[str, MetadataValue | LongArray]


class ChatTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A chat template of the file; the one that is used when none is named has the name `default`."""

    name: str
    characters: int


class TypeShare(msgspec.Struct, frozen=True, kw_only=True):
    """What one tensor type makes up of a model."""

    type_name: str
    tensors: int
    parameters: int
    n_bytes: int


class LargestTensor(msgspec.Struct, frozen=True, kw_only=True):
    """The tensor with the most bytes; dimensions with the fastest first."""

    name: str
    dimensions: tuple[int, ...]
    type_name: str
    n_bytes: int


class KvCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one token of context costs in the KV cache, for one type of its elements, in bytes.

    `bytes_per_token` counts all layers. `bytes_per_old_token` is what is left of it once the token has gone
    out of the sliding window; the same where there is no window.
    """

    type_name: str
    bytes_per_token: int
    bytes_per_old_token: int


class ModelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A model file in full. Sizes are bytes; `bytes_per_layer` has one number for every repeating block.

    `expert_share` is the part of all tensor bytes that are experts, of which a token uses a few: so
    `active_parameters` are those that one token goes through. `recurrent_layers` keep a state of fixed size
    in place of keys and values.
    """

    entry: ModelEntry
    paths: tuple[str, ...]
    gguf_version: int
    is_big_endian: bool
    header_bytes: int
    alignment: int
    license: str
    sections: tuple[MetadataSection, ...]
    chat_templates: tuple[ChatTemplate, ...]
    parameters: int
    active_parameters: int
    n_tensors: int
    tensor_bytes: int
    bits_per_weight: float
    n_vocab: int
    types: tuple[TypeShare, ...]
    largest_tensor: LargestTensor | None
    bytes_per_layer: tuple[int, ...]
    input_bytes: int
    output_bytes: int
    has_tied_output: bool
    expert_share: float
    kv_costs: tuple[KvCost, ...]
    sliding_window: int
    windowed_layers: int
    recurrent_layers: int
