"""Everything that a header says and what follows from it, for those who want to know it all.

A pure function of the header; the text of the file is cut and stripped of control characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from kobold_tui.catalogue.entry import entry_of
from kobold_tui.catalogue.text import printable
from kobold_tui.domain.memory import ModelShape, shape_of
from kobold_tui.domain.model import ArrayRef, Header, MetadataValue, TensorInfo
from kobold_tui.domain.model_details import (
    SECTIONS,
    ChatTemplate,
    KvCost,
    LargestTensor,
    LongArray,
    MetadataSection,
    ModelDetails,
    Section,
    TypeShare,
)
from kobold_tui.gguf.ggml_types import TENSOR_TYPES, VALUE_TYPE_NAMES
from kobold_tui.gguf.header import read_header

MAX_TEXT = 2000
MAX_ITEMS = 256
KV_TYPES = ("f16", "q8_0")

_TEMPLATE = "tokenizer.chat_template"
_LAYER = re.compile(r"blk\.(\d{1,5})\.")
_EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch)?exps\.")
_INPUT = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
_REST: Section = "other"
_PREFIXES: dict[str, Section] = {
    "general.": "general",
    "tokenizer.": "tokenizer",
    "split.": "split",
    "{arch}.attention.": "attention",
    "{arch}.expert_": "experts",
    "{arch}.rope.": "rope",
    "{arch}.ssm.": "state space",
    "{arch}.": "model",
}


def read_details(path: Path) -> ModelDetails:
    """Return everything about the model at `path`. Raises ModelFileError."""
    return details_of(read_header(path.expanduser()))


def details_of(header: Header) -> ModelDetails:
    """Return everything about a header that was read already."""
    shape, parameters, tensor_bytes = shape_of(header), header.n_parameters, header.tensor_bytes
    experts = [tensor for tensor in header.tensors if _EXPERTS.search(tensor.name)]
    outside = [tensor for tensor in header.tensors if not _LAYER.match(tensor.name)]
    return ModelDetails(
        entry=entry_of(header, "file"),
        paths=header.paths,
        gguf_version=header.version,
        is_big_endian=header.big_endian,
        header_bytes=header.data_offset,
        alignment=header.alignment,
        license=printable(header.text("general.license")),
        sections=_sections(header),
        chat_templates=_templates(header),
        parameters=parameters,
        active_parameters=parameters - _idle_parameters(header, experts),
        n_tensors=len(header.tensors),
        tensor_bytes=tensor_bytes,
        bits_per_weight=8 * tensor_bytes / parameters if parameters else 0.0,
        n_vocab=header.n_vocab,
        types=_types(header.tensors),
        largest_tensor=_largest(header.tensors),
        bytes_per_layer=_bytes_per_layer(header),
        input_bytes=sum(tensor.n_bytes for tensor in outside if tensor.name.startswith(_INPUT)),
        output_bytes=sum(tensor.n_bytes for tensor in outside if not tensor.name.startswith(_INPUT)),
        has_tied_output=shape.is_tied,
        expert_share=sum(tensor.n_bytes for tensor in experts) / tensor_bytes if tensor_bytes else 0.0,
        kv_costs=tuple(_kv_cost(shape, name) for name in KV_TYPES) if _has_cache(shape) else (),
        sliding_window=shape.window,
        windowed_layers=sum(layer.is_sliding and layer.k_width > 0 for layer in shape.layers),
        recurrent_layers=sum(layer.is_recurrent for layer in shape.layers),
    )


def _sections(header: Header) -> tuple[MetadataSection, ...]:
    values: dict[Section, dict[str, MetadataValue | LongArray]] = {title: {} for title in SECTIONS}
    prefixes = {key.replace("{arch}", header.architecture): title for key, title in _PREFIXES.items()}
    for key, value in header.metadata.items():
        if not key.startswith(_TEMPLATE):
            title = next((prefixes[prefix] for prefix in prefixes if key.startswith(prefix)), _REST)
            values[title][printable(key)] = _shown(value)
    return tuple(MetadataSection(title=title, values=found) for title, found in values.items() if found)


def _shown(value: MetadataValue | ArrayRef) -> MetadataValue | LongArray:
    if isinstance(value, ArrayRef):
        return LongArray(length=value.length, element_type=VALUE_TYPE_NAMES[value.element_type])
    if isinstance(value, tuple):
        if len(value) > MAX_ITEMS:
            return LongArray(length=len(value), element_type=type(value[0]).__name__)
        return tuple(printable(item) if isinstance(item, str) else item for item in value)
    return printable(value, MAX_TEXT) if isinstance(value, str) else value


def _templates(header: Header) -> tuple[ChatTemplate, ...]:
    """Return the default template and the named ones (`tokenizer.chat_template.NAME`)."""
    found = []
    for key, value in header.metadata.items():
        if key == _TEMPLATE or key.startswith(f"{_TEMPLATE}."):
            length = (
                value.length if isinstance(value, ArrayRef) else len(value) if isinstance(value, str) else 0
            )
            found.append(
                ChatTemplate(name=printable(key[len(_TEMPLATE) + 1 :]) or "default", characters=length)
            )
    return tuple(found)


def _types(tensors: Iterable[TensorInfo]) -> tuple[TypeShare, ...]:
    """Return the tensor types, the one with the most bytes first."""
    by_type: dict[str, list[TensorInfo]] = {}
    for tensor in tensors:
        by_type.setdefault(tensor.type_name, []).append(tensor)
    shares = (
        TypeShare(
            type_name=name,
            tensors=len(group),
            parameters=sum(tensor.n_elements for tensor in group),
            n_bytes=sum(tensor.n_bytes for tensor in group),
        )
        for name, group in by_type.items()
    )
    return tuple(sorted(shares, key=lambda share: (-share.n_bytes, share.type_name)))


def _largest(tensors: tuple[TensorInfo, ...]) -> LargestTensor | None:
    largest = max(tensors, key=lambda tensor: tensor.n_bytes, default=None)
    if largest is None:
        return None
    return LargestTensor(
        name=printable(largest.name),
        dimensions=largest.dimensions,
        type_name=largest.type_name,
        n_bytes=largest.n_bytes,
    )


def _bytes_per_layer(header: Header) -> tuple[int, ...]:
    sizes: dict[int, int] = {}
    for tensor in header.tensors:
        if match := _LAYER.match(tensor.name):
            sizes[int(match[1])] = sizes.get(int(match[1]), 0) + tensor.n_bytes
    return tuple(sizes.get(layer, 0) for layer in range(max(sizes, default=-1) + 1))


def _idle_parameters(header: Header, experts: Iterable[TensorInfo]) -> int:
    """Return the weights of experts that one token does not use."""
    count, used = header.integer("{arch}.expert_count"), header.integer("{arch}.expert_used_count")
    if not 0 < used < count:
        return 0
    return sum(tensor.n_elements for tensor in experts) * (count - used) // count


def _has_cache(shape: ModelShape) -> bool:
    return shape.supported and not shape.is_encoder and any(layer.k_width for layer in shape.layers)


def _kv_cost(shape: ModelShape, type_name: str) -> KvCost:
    rows = [
        (_row_bytes(layer.k_width, type_name) + _row_bytes(layer.v_width, type_name), layer.is_sliding)
        for layer in shape.layers
    ]
    return KvCost(
        type_name=type_name,
        bytes_per_token=sum(n_bytes for n_bytes, _ in rows),
        bytes_per_old_token=sum(n_bytes for n_bytes, is_windowed in rows if not is_windowed),
    )


def _row_bytes(width: int, type_name: str) -> int:
    """Return the bytes of one row of the cache (`ggml_row_size`)."""
    kind = next(kind for kind in TENSOR_TYPES.values() if kind.name == type_name)
    return -(-width // kind.block_size) * kind.block_bytes
