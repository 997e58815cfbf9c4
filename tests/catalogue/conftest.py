"""Small but whole model files with the metadata that a test wishes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

WriteModel = Callable[..., Path]


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: str | int) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    return struct.pack("<II", 4, value)


def _content(metadata: dict[str, str | int], tensors: dict[str, tuple[int, tuple[int, ...], int]]) -> bytes:
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(_string(key) + _value(value) for key, value in metadata.items())
    offset = 0
    for name, (type_id, dimensions, n_bytes) in tensors.items():
        shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        header += _string(name) + shape + struct.pack("<IQ", type_id, offset)
        offset += n_bytes
    return header + b"\0" * (-len(header) % 32) + b"\0" * offset


@pytest.fixture
def write_model() -> WriteModel:
    """Writes a model of architecture llama with one q4_K matrix and one f32 vector, unless told otherwise."""

    def write(path: Path, *, no_tensors: bool = False, **metadata: str | int) -> Path:
        entries: dict[str, str | int] = {"general.architecture": "llama", "llama.block_count": 2}
        entries |= {key.replace("__", "."): value for key, value in metadata.items()}
        tensors = {"w": (12, (256, 4), 576), "norm": (0, (256,), 1024)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_content(entries, {} if no_tensors else tensors))
        return path

    return write
