"""Models without weights: headers of well-known sizes, as values and as files whose tensor data is a hole.

llama.cpp places such a file as it places the real model. A file has no vocabulary, only its size, so that
a dry run takes milliseconds; it takes some kilobytes on disk, whatever its length says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import model_shapes_dense
import model_shapes_encoders
import model_shapes_sparse
from shape_builder import ALIGNMENT

from kobold_tui.domain.model import Header

SHAPES: dict[str, Callable[[], Header]] = {
    **model_shapes_dense.SHAPES,
    **model_shapes_sparse.SHAPES,
    **model_shapes_encoders.SHAPES,
}
"""Functions that make the header of each model, by name."""


def header_of(name: str) -> Header:
    """Return the header of a model by name."""
    return SHAPES[name]()


def write_file(header: Header, path: Path) -> Path:
    """Write a header as a GGUF file whose tensor data is a hole."""
    entries = [_string(key) + _value(value) for key, value in header.metadata.items()]
    rows = []
    for tensor in header.tensors:
        shape = struct.pack(f"<I{len(tensor.dimensions)}Q", len(tensor.dimensions), *tensor.dimensions)
        rows.append(_string(tensor.name) + shape + struct.pack("<IQ", tensor.type_id, tensor.offset))
    start = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(entries))
    head = start + b"".join(entries) + b"".join(rows)
    data_bytes = sum(-(-tensor.n_bytes // ALIGNMENT) * ALIGNMENT for tensor in header.tensors)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(-(-len(head) // ALIGNMENT) * ALIGNMENT + data_bytes)
    return path


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: object) -> bytes:
    """Return a GGUF value: its type, then its bytes."""
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
        case tuple():
            elements = [_value(element) for element in value]
            return (
                struct.pack("<I", 9)
                + elements[0][:4]
                + struct.pack("<Q", len(value))
                + b"".join(element[4:] for element in elements)
            )
    raise TypeError(f"no GGUF type for {value!r}")
