"""Reads the header of a GGUF model: metadata and tensor table, without vocabulary and without weights.

The reader takes the file for hostile: every length, count, type and offset is bounded and checked against
the size of the file, and only ModelFileError ever comes out. Long arrays (the vocabulary) are walked over
and kept as an ArrayRef. The layout is that of ggml's gguf.cpp, versions 2 and 3, in either byte order.
"""

from __future__ import annotations

import os
from pathlib import Path

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import ArrayRef, Header, MetadataValue, TensorInfo
from kobold_tui.domain.units import format_bytes
from kobold_tui.gguf.ggml_types import (
    ARRAY,
    BOOL,
    REMOVED_TENSOR_TYPES,
    STRING,
    TENSOR_TYPES,
    VALUE_BYTES,
    VALUE_FORMATS,
)
from kobold_tui.gguf.magic import MAGIC, PEEK_BYTES, not_gguf
from kobold_tui.gguf.shards import ShardName, shard_name
from kobold_tui.gguf.window import Window

SUPPORTED_VERSIONS = (2, 3)
MAX_METADATA = 65_536
MAX_TENSORS = 131_072
MAX_ARRAY_STRINGS = 4_194_304
MAX_DECODED_NUMBERS = 4096
MAX_DECODED_STRINGS = 64
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 1024
MAX_STRING_BYTES = 16 * 1024 * 1024
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32


def read_header(path: Path) -> Header:
    """Return the header of the model at `path`, with the tensors of all its shards.

    Any shard may be named. `file_bytes` counts all shards; the offset of a tensor counts from the tensor
    data of its own shard. Raises ModelFileError, and nothing else, where the file is not a whole model.
    """
    shard = shard_name(str(path))
    if shard is None or shard.count == 1:
        header = _read_file(str(path))
        _check_is_whole(header)
        return header
    return _read_shards(shard)


def _check_is_whole(header: Header) -> None:
    count = header.integer("split.count", 1)
    if count > 1:
        raise ModelFileError(
            "Incomplete model",
            f"{header.paths[0]} is one of {count} parts, but its name does not say which.",
            f"Give the parts their names back: …-00001-of-{count:05d}.gguf, in one folder.",
        )


def _read_shards(shard: ShardName) -> Header:
    paths = [shard.sibling(index) for index in range(1, shard.count + 1)]
    missing = [Path(path).name for path in paths if not os.access(path, os.F_OK)]
    if missing:
        raise ModelFileError(
            "Incomplete model",
            f"{paths[0]} is the first of {shard.count} parts, of which {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing: {_some(missing)}.",
            "Download the missing parts into the same folder.",
        )
    return _join([_read_file(path) for path in paths])


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _join(headers: list[Header]) -> Header:
    first = headers[0]
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    expected = first.integer("split.tensors.count", len(tensors))
    if expected != len(tensors):
        raise ModelFileError(
            "Damaged model file",
            f"{first.paths[0]} and its other parts hold {len(tensors)} tensors; {expected} are announced.",
            "The parts belong to different downloads; get all of them again.",
        )
    return Header(
        paths=tuple(header.paths[0] for header in headers),
        version=first.version,
        file_bytes=sum(header.file_bytes for header in headers),
        data_offset=first.data_offset,
        alignment=first.alignment,
        metadata=first.metadata,
        tensors=tensors,
    )


def _read_file(path: str) -> Header:
    with Window(path) as window:
        version = _read_version(window)
        n_tensors = _read_count(window, "tensors", MAX_TENSORS)
        n_metadata = _read_count(window, "metadata entries", MAX_METADATA)
        metadata = _read_metadata(window, n_metadata)
        alignment = _alignment(window, metadata)
        tensors = tuple(_read_tensors(window, n_tensors, alignment))
        data_offset = -(-window.position // alignment) * alignment
        _check_size(window, data_offset, tensors)
        return Header(
            paths=(path,),
            version=version,
            file_bytes=window.size,
            data_offset=data_offset,
            alignment=alignment,
            metadata=metadata,
            tensors=tensors,
        )


def _read_version(window: Window) -> int:
    """Read magic and version; a version that makes sense only when swapped marks a big-endian file."""
    start = window.peek(PEEK_BYTES)
    if not start:
        raise ModelFileError(
            "Not a model file", f"{window.path} is empty (0 bytes).", "Download the file again."
        )
    if not start.startswith(MAGIC):
        raise not_gguf(window.path, start)
    window.skip(len(MAGIC))
    if window.peek(4)[:2] == b"\0\0":
        window.use_byte_order(">")
    version = window.u32()
    if version not in SUPPORTED_VERSIONS:
        newer = version > max(SUPPORTED_VERSIONS)
        window.fail(
            f"version {version} of GGUF is not known; 2 and 3 are",
            "Update kobold-tui and llama-cpp-python." if newer else "Get a newer file of this model.",
            "Unknown version of the file format",
        )
    return version


def _read_count(window: Window, what: str, most: int) -> int:
    count = window.u64()
    if count > most:
        window.fail(f"it announces {count:,} {what}; more than {most:,} make no sense")
    return count


def _read_metadata(window: Window, count: int) -> dict[str, MetadataValue | ArrayRef]:
    metadata: dict[str, MetadataValue | ArrayRef] = {}
    for _ in range(count):
        key = window.text(MAX_KEY_BYTES, "a metadata key")
        if key in metadata:
            window.fail(f"the metadata key {_shown(key)} stands there twice")
        metadata[key] = _read_value(window, window.u32(), key)
    return metadata


def _read_value(window: Window, value_type: int, key: str) -> MetadataValue | ArrayRef:
    if value_type == STRING:
        return window.text(MAX_STRING_BYTES, f"the text of {_shown(key)}")
    if value_type == ARRAY:
        return _read_array(window, key)
    if value_type not in VALUE_FORMATS:
        window.fail(f"{_shown(key)} has the unknown value type {value_type}")
    return _numbers(window, value_type, 1)[0]


def _read_array(window: Window, key: str) -> MetadataValue | ArrayRef:
    element_type, length = window.u32(), window.u64()
    offset = window.position
    if element_type == STRING:
        return _read_strings(window, key, length, offset)
    if element_type not in VALUE_FORMATS:
        kind = "arrays of arrays" if element_type == ARRAY else f"the unknown element type {element_type}"
        window.fail(f"the array {_shown(key)} holds {kind}")
    if length <= MAX_DECODED_NUMBERS:
        return _numbers(window, element_type, length)
    window.skip(length * VALUE_BYTES[element_type])
    return ArrayRef(length=length, element_type=element_type, offset=offset)


def _read_strings(window: Window, key: str, length: int, offset: int) -> MetadataValue | ArrayRef:
    if length > min(MAX_ARRAY_STRINGS, (window.size - offset) // 8):
        window.fail(f"the array {_shown(key)} claims to hold {length:,} strings")
    if length <= MAX_DECODED_STRINGS:
        return tuple(window.text(MAX_STRING_BYTES, f"a text of {_shown(key)}") for _ in range(length))
    window.skip_strings(length)
    return ArrayRef(length=length, element_type=STRING, offset=offset)


def _numbers(window: Window, value_type: int, count: int) -> tuple[bool | int | float, ...]:
    values = window.numbers(VALUE_FORMATS[value_type], count)
    return tuple(value != 0 for value in values) if value_type == BOOL else values


def _alignment(window: Window, metadata: dict[str, MetadataValue | ArrayRef]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or value & (value - 1):
        window.fail(f"general.alignment is {_shown(value)}, which is not a power of two")
    return value


def _read_tensors(window: Window, count: int, alignment: int) -> list[TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for _ in range(count):
        tensor = _read_tensor(window)
        if tensor.name in tensors:
            window.fail(f"the tensor {_shown(tensor.name)} stands there twice")
        if tensor.offset % alignment:
            window.fail(
                f"the tensor {_shown(tensor.name)} begins at {tensor.offset:,}, not a multiple of {alignment}"
            )
        tensors[tensor.name] = tensor
    return list(tensors.values())


def _read_tensor(window: Window) -> TensorInfo:
    name = window.text(MAX_NAME_BYTES, "a tensor's name")
    n_dimensions = window.u32()
    if not 1 <= n_dimensions <= MAX_DIMENSIONS:
        window.fail(
            f"the tensor {_shown(name)} has {n_dimensions} dimensions; 1 to {MAX_DIMENSIONS} are possible"
        )
    dimensions = tuple(window.u64() for _ in range(n_dimensions))
    type_id, offset = window.u32(), window.u64()
    type_name, n_bytes = _tensor_bytes(window, name, type_id, dimensions)
    return TensorInfo(
        name=name,
        dimensions=dimensions,
        type_id=type_id,
        type_name=type_name,
        offset=offset,
        n_bytes=n_bytes,
    )


def _tensor_bytes(window: Window, name: str, type_id: int, dimensions: tuple[int, ...]) -> tuple[str, int]:
    tensor_type = TENSOR_TYPES.get(type_id)
    if tensor_type is None:
        known = REMOVED_TENSOR_TYPES.get(type_id)
        reason = f"type {known}, which llama.cpp no longer reads" if known else f"the unknown type {type_id}"
        window.fail(f"the tensor {_shown(name)} has {reason}", "Get another file of this model.")
    n_blocks, rest = divmod(dimensions[0], tensor_type.block_size)
    if rest:
        window.fail(
            f"rows of {_shown(name)} have {dimensions[0]:,} weights, "
            f"not whole blocks of {tensor_type.block_size} as {tensor_type.name} needs"
        )
    n_bytes = n_blocks * tensor_type.block_bytes
    for size in dimensions[1:]:
        n_bytes *= size
    return tensor_type.name, n_bytes


def _check_size(window: Window, data_offset: int, tensors: tuple[TensorInfo, ...]) -> None:
    """Refuse a file that ends before its last tensor does, naming both sizes."""
    end = data_offset + max((tensor.offset + tensor.n_bytes for tensor in tensors), default=-data_offset)
    if end > window.size:
        window.fail(
            f"its tensors reach to byte {end:,} ({format_bytes(end)}), "
            f"but the file has {window.size:,} ({format_bytes(window.size)})",
            "The download or copy was cut short: get the file again.",
            "Incomplete model file",
        )


def _shown(value: object, most: int = 80) -> str:
    """Return a value of the file as it can stand in a sentence: printable and short."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
