"""Reads the header of a GGUF model: metadata and tensor table, without vocabulary and without weights.

The reader takes the file for hostile: every length, count, type and offset is bounded and checked against
the size of the file, time and memory are bounded, and only ModelFileError ever comes out. Long arrays (the
vocabulary) are walked over and kept as an ArrayRef. The layout is that of ggml's gguf.cpp, versions 2 and 3,
in either byte order.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import ArrayRef, Header, MetadataValue, TensorInfo
from kobold_tui.gguf.magic import MAGIC, PEEK_BYTES, not_gguf
from kobold_tui.gguf.metadata import MAX_ENTRIES, read_metadata, shown
from kobold_tui.gguf.shards import ShardName, shard_name
from kobold_tui.gguf.tensor_table import MAX_TENSORS, check_size, read_tensors
from kobold_tui.gguf.window import Window

SUPPORTED_VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 2**31


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
    missing = [Path(path).name for path in paths if not _exists(path)]
    if missing:
        raise ModelFileError(
            "Incomplete model",
            f"{paths[0]} is the first of {shard.count} parts, of which {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing: {_some(missing)}.",
            "Download the missing parts into the same folder.",
        )
    return _join(paths)


def _exists(path: str) -> bool:
    return "\0" not in path and os.access(path, os.F_OK)


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _join(paths: list[str]) -> Header:
    """Read all parts; of those after the first only the tensors are kept."""
    first = _read_file(paths[0])
    tensors = list(first.tensors)
    file_bytes = first.file_bytes
    expected = first.integer("split.tensors.count", -1)
    for path in paths[1:]:
        part = _read_file(path)
        tensors += part.tensors
        file_bytes += part.file_bytes
        if len(tensors) > MAX_TENSORS:
            break
    if len(tensors) != expected >= 0 or len(tensors) > MAX_TENSORS:
        raise _wrong_parts(paths[0], tensors, expected)
    return msgspec.structs.replace(first, paths=tuple(paths), file_bytes=file_bytes, tensors=tuple(tensors))


def _wrong_parts(path: str, tensors: list[TensorInfo], expected: int) -> ModelFileError:
    announced = f"{expected} are announced" if expected >= 0 else f"more than {MAX_TENSORS:,} make no sense"
    return ModelFileError(
        "Damaged model file",
        f"{path} and its other parts hold {len(tensors)} tensors; {announced}.",
        "The parts belong to different downloads; get all of them again.",
    )


def _read_file(path: str) -> Header:
    with Window(path) as window:
        version = _read_version(window)
        n_tensors = _read_count(window, "tensors", MAX_TENSORS)
        n_metadata = _read_count(window, "metadata entries", MAX_ENTRIES)
        metadata = read_metadata(window, n_metadata)
        alignment = _alignment(window, metadata)
        tensors = read_tensors(window, n_tensors, alignment)
        data_offset = -(-window.position // alignment) * alignment
        check_size(window, data_offset, tensors)
        return Header(
            paths=(path,),
            version=version,
            file_bytes=window.size,
            data_offset=data_offset,
            alignment=alignment,
            metadata=metadata,
            tensors=tensors,
            big_endian=window.order == ">",
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
    begin = window.position
    version = window.u32()
    if version not in SUPPORTED_VERSIONS:
        newer = version > max(SUPPORTED_VERSIONS)
        window.fail(
            f"version {version} of GGUF is not known; 2 and 3 are",
            "Update kobold-tui and llama-cpp-python." if newer else "Get a newer file of this model.",
            "Unknown version of the file format",
            at=begin,
        )
    return version


def _read_count(window: Window, what: str, most: int) -> int:
    begin = window.position
    count = window.u64()
    if count > most:
        window.fail(f"it announces {count:,} {what}; more than {most:,} make no sense", at=begin)
    return count


def _alignment(window: Window, metadata: dict[str, MetadataValue | ArrayRef]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or value & (value - 1):
        window.fail(f"general.alignment is {shown(value)}, which is not a power of two")
    if value > MAX_ALIGNMENT:
        window.fail(f"general.alignment is {value:,}; more than {MAX_ALIGNMENT:,} make no sense")
    return value
