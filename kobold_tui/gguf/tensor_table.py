"""Reads the tensor table of a GGUF header: names, shapes, types and places, checked as llama.cpp checks them.

The rules are those of `gguf_init_from_reader` in ggml's gguf.cpp: tensors follow each other without a gap,
each padded to the file's alignment.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from kobold_tui.domain.model import TensorInfo
from kobold_tui.domain.units import format_bytes
from kobold_tui.gguf.ggml_types import REMOVED_TENSOR_TYPES, TENSOR_TYPES
from kobold_tui.gguf.metadata import shown
from kobold_tui.gguf.window import Window

MAX_TENSORS = 65_536
MAX_NAME_BYTES = 1024
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 2**63 - 1

_ROW_COST = 480


def read_tensors(window: Window, count: int, alignment: int) -> tuple[TensorInfo, ...]:
    """Read `count` rows. Raises ModelFileError for a tensor that cannot be."""
    tensors: dict[str, TensorInfo] = {}
    layouts = [struct.Struct(f"{window.order}{size}QIQ") for size in range(MAX_DIMENSIONS + 1)]
    expected = 0
    for _ in range(count):
        begin = window.position
        tensor = _read_tensor(window, layouts)
        if tensor.name in tensors:
            window.fail(f"the tensor {shown(tensor.name)} stands there twice", at=begin)
        if tensor.offset != expected:
            window.fail(
                f"the data of {shown(tensor.name)} begin at {tensor.offset:,} of the tensor data, "
                f"not at {expected:,} where the tensor before it ends",
                at=begin,
            )
        window.keep(_ROW_COST)
        tensors[tensor.name] = tensor
        expected += -(-tensor.n_bytes // alignment) * alignment
    return tuple(tensors.values())


def check_size(window: Window, data_offset: int, tensors: tuple[TensorInfo, ...]) -> None:
    """Refuse a file that ends before its last tensor does, naming both sizes."""
    end = data_offset + max((tensor.offset + tensor.n_bytes for tensor in tensors), default=-data_offset)
    if end > window.size:
        window.fail(
            f"its tensors reach to byte {end:,} ({format_bytes(end)}), "
            f"but the file has {window.size:,} ({format_bytes(window.size)})",
            "The download or copy was cut short: get the file again.",
            "Incomplete model file",
        )


def _read_tensor(window: Window, layouts: Sequence[struct.Struct]) -> TensorInfo:
    """Read a row; `layouts` are dimensions, type and offset for each number of dimensions."""
    begin = window.position
    name = window.text(MAX_NAME_BYTES, "a tensor's name")
    n_dimensions = window.u32()
    if not 1 <= n_dimensions <= MAX_DIMENSIONS:
        window.fail(
            f"the tensor {shown(name)} has {n_dimensions} dimensions; 1 to {MAX_DIMENSIONS} are possible",
            at=begin,
        )
    *sizes, type_id, offset = window.unpack(layouts[n_dimensions])
    dimensions = tuple(sizes)
    type_name, n_bytes = _tensor_bytes(window, name, type_id, dimensions, begin)
    return TensorInfo(
        name=name,
        dimensions=dimensions,
        type_id=type_id,
        type_name=type_name,
        offset=offset,
        n_bytes=n_bytes,
    )


def _tensor_bytes(
    window: Window, name: str, type_id: int, dimensions: tuple[int, ...], begin: int
) -> tuple[str, int]:
    tensor_type = TENSOR_TYPES.get(type_id)
    if tensor_type is None:
        known = REMOVED_TENSOR_TYPES.get(type_id)
        reason = f"type {known}, which llama.cpp no longer reads" if known else f"the unknown type {type_id}"
        window.fail(f"the tensor {shown(name)} has {reason}", "Get another file of this model.", at=begin)
    if dimensions[0] % tensor_type.block_size:
        window.fail(
            f"rows of {shown(name)} have {dimensions[0]:,} weights, "
            f"not whole blocks of {tensor_type.block_size} as {tensor_type.name} needs",
            at=begin,
        )
    n_elements = math.prod(dimensions)
    if n_elements > MAX_ELEMENTS or (not n_elements and max(dimensions) > MAX_ELEMENTS):
        shape = " × ".join(f"{size:,}" for size in dimensions)
        window.fail(f"the tensor {shown(name)} claims to have {shown(shape)} weights", at=begin)
    return tensor_type.name, n_elements // tensor_type.block_size * tensor_type.block_bytes
