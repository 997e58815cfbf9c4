"""The ghost of a model: its header without the vocabulary, in front of tensor data that is a hole.

llama.cpp spends nearly all of a dry run on reading the vocabulary, which moves no byte of memory. A ghost
says the same about the weights, in one file however many parts the model has, and loads in milliseconds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import Header, TensorInfo
from kobold_tui.gguf.ggml_types import ARRAY, STRING, VALUE_BYTES
from kobold_tui.gguf.header import DEFAULT_ALIGNMENT
from kobold_tui.gguf.magic import MAGIC
from kobold_tui.gguf.metadata import MAX_ENTRIES, MAX_KEY_BYTES
from kobold_tui.gguf.window import Window

MAX_ENTRY_BYTES = 64 * 1024
MAX_METADATA_BYTES = 16 * 1024 * 1024

_VERSION = 3
_UINT32, _FLOAT32 = 4, 6
_VOCABULARY = "tokenizer."
_KEPT_OF_VOCABULARY = frozenset({"tokenizer.ggml.token_type_count"})
_PARTS = "split."


class Ghost(msgspec.Struct, frozen=True, kw_only=True):
    """A file of `file_bytes` bytes that begins with `head` and is empty behind it."""

    head: bytes
    file_bytes: int


def make_ghost(header: Header) -> Ghost:
    """Return the ghost of the model that `header` was read from; its first file is read again.

    Raises ModelFileError when that file cannot be read any more or has another byte order than llama.cpp.
    """
    entries = [*_kept_entries(header), _entry("tokenizer.ggml.model", "none")]
    if 0 < header.n_vocab < 1 << 32:
        entries.append(_entry(f"{header.architecture}.vocab_size", header.n_vocab))
    return _join(entries, header.tensors, header.alignment)


def invent_ghost(metadata: Mapping[str, int | float | str], tensors: Sequence[TensorInfo]) -> Ghost:
    """Return the ghost of a model that is nowhere; whole numbers are unsigned and below 2**32."""
    entries = [_entry(key, value) for key, value in metadata.items()]
    return _join(entries, tensors, DEFAULT_ALIGNMENT)


def _join(entries: Sequence[bytes], tensors: Sequence[TensorInfo], alignment: int) -> Ghost:
    rows, data_bytes = _tensor_table(tensors, alignment)
    start = MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(entries))
    head = start + b"".join(entries) + rows
    return Ghost(head=head, file_bytes=_padded(len(head), alignment) + data_bytes)


def _tensor_table(tensors: Sequence[TensorInfo], alignment: int) -> tuple[bytes, int]:
    """Return the rows of all parts with offsets as in one file, and the bytes of their data."""
    rows, offset = [], 0
    for tensor in tensors:
        n_dimensions = len(tensor.dimensions)
        shape = struct.pack(f"<I{n_dimensions}Q", n_dimensions, *tensor.dimensions)
        rows.append(_string(tensor.name.encode()) + shape + struct.pack("<IQ", tensor.type_id, offset))
        offset += _padded(tensor.n_bytes, alignment)
    return b"".join(rows), offset


def _kept_entries(header: Header) -> list[bytes]:
    """Return the metadata entries that decide about memory, byte by byte as they stand in the file."""
    path, total = header.paths[0], 0
    dropped = f"{header.architecture}.vocab_size"
    spans = []
    for key, begin, end in _entries(path):
        if key != dropped and end - begin <= MAX_ENTRY_BYTES and _matters(key):
            spans.append((begin, end))
            total += end - begin
    if total > MAX_METADATA_BYTES:
        raise ModelFileError(
            "Model file has too much metadata",
            f"{path} has {total:,} bytes of metadata beside its vocabulary, which no model needs.",
            "Get another file of this model.",
        )
    return _read(path, spans)


def _read(path: str, spans: list[tuple[int, int]]) -> list[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return [os.pread(descriptor, end - begin, begin) for begin, end in spans]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ModelFileError(
            "Model file cannot be read", f"{path} cannot be read: {error.strerror}.", "Check the disk."
        ) from error


def _matters(key: str) -> bool:
    if key.startswith(_VOCABULARY):
        return key in _KEPT_OF_VOCABULARY
    return not key.startswith(_PARTS)


def _entries(path: str) -> Iterator[tuple[str, int, int]]:
    """Yield key, begin and end of each metadata entry of a file whose header is known to be whole."""
    with Window(path) as window:
        window.skip(len(MAGIC))
        if window.peek(4)[:2] == b"\0\0":
            window.fail(
                "it is written for big-endian processors, which llama.cpp does not read here",
                "Get a file for this machine's byte order.",
                "Wrong byte order",
            )
        window.skip(4 + 8)
        for _ in range(min(window.u64(), MAX_ENTRIES)):
            begin = window.position
            key = window.text(MAX_KEY_BYTES, "a metadata key")
            _skip_value(window, window.u32())
            yield key, begin, window.position


def _skip_value(window: Window, value_type: int) -> None:
    if value_type == STRING:
        window.skip(window.u64())
    elif value_type == ARRAY:
        element_type, length = window.u32(), window.u64()
        if element_type == STRING:
            window.skip_strings(length)
        else:
            window.skip(length * _width(window, element_type))
    else:
        window.skip(_width(window, value_type))


def _width(window: Window, value_type: int) -> int:
    if value_type not in VALUE_BYTES:
        window.fail(f"its metadata changed while it was read: there is a value of type {value_type}")
    return VALUE_BYTES[value_type]


def _padded(n_bytes: int, alignment: int) -> int:
    return -(-n_bytes // alignment) * alignment


def _entry(key: str, value: int | float | str) -> bytes:
    match value:
        case str():
            body = _u32(STRING) + _string(value.encode())
        case int():
            body = _u32(_UINT32) + _u32(value)
        case float():
            body = _u32(_FLOAT32) + struct.pack("<f", value)
    return _string(key.encode()) + body


def _string(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def _u32(value: int) -> bytes:
    return struct.pack("<I", value)
