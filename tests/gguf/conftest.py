"""A writer of small GGUF files, byte by byte, so that tests can make it write nonsense as well."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

U8, U32, I32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 5, 6, 7, 8, 9, 10
CODES = {U8: "B", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q"}


@dataclass
class GgufFile:
    """What a file shall hold; `raw_metadata` is appended as it is and counts as `raw_entries` entries."""

    order: str = "<"
    version: int = 3
    metadata: list[tuple[str, bytes]] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)
    n_tensors: int | None = None
    n_metadata: int | None = None
    data: bytes = b""

    def pack(self, code: str, *values: float) -> bytes:
        return struct.pack(self.order + code, *values)

    def string(self, text: str | bytes) -> bytes:
        raw = text.encode() if isinstance(text, str) else text
        return self.pack("Q", len(raw)) + raw

    def add(self, key: str, value_type: int, value: str | float) -> None:
        body = self.string(value) if isinstance(value, str) else self.pack(CODES[value_type], value)
        self.add_raw(key, self.pack("I", value_type) + body)

    def add_array(self, key: str, element_type: int, values: Sequence[str | float]) -> None:
        start = self.pack("IIQ", ARRAY, element_type, len(values))
        items = [
            self.string(value) if isinstance(value, str) else self.pack(CODES[element_type], value)
            for value in values
        ]
        self.add_raw(key, start + b"".join(items))

    def add_raw(self, key: str, body: bytes) -> None:
        self.metadata.append((key, body))

    def add_tensor(self, name: str, dimensions: Sequence[int], type_id: int, offset: int) -> None:
        shape = self.pack(f"I{len(dimensions)}Q", len(dimensions), *dimensions)
        self.tensors.append(self.string(name) + shape + self.pack("IQ", type_id, offset))

    def header(self) -> bytes:
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_metadata = len(self.metadata) if self.n_metadata is None else self.n_metadata
        start = b"GGUF" + self.pack("IQQ", self.version, n_tensors, n_metadata)
        entries = b"".join(self.string(key) + body for key, body in self.metadata)
        return start + entries + b"".join(self.tensors)

    def to_bytes(self) -> bytes:
        header = self.header()
        return header + b"\0" * (-len(header) % 32) + self.data


@pytest.fixture
def gguf() -> GgufFile:
    """An empty file, ready to be filled."""
    return GgufFile()


@pytest.fixture
def small_model() -> Callable[..., GgufFile]:
    """Makes a small but whole llama with a vocabulary of a hundred tokens and two tensors."""

    def make(order: str = "<", version: int = 3) -> GgufFile:
        model = GgufFile(order=order, version=version)
        model.add("general.architecture", STRING, "llama")
        model.add("general.name", STRING, "Tiny Llama")
        model.add("llama.block_count", U32, 2)
        model.add("llama.rope.freq_base", F32, 10000.0)
        model.add("tokenizer.ggml.add_bos_token", BOOL, 1)
        model.add_array("llama.attention.head_count_kv", I32, [2, -1])
        model.add_array("general.languages", STRING, ["en", "ελ"])
        model.add_array("tokenizer.ggml.tokens", STRING, [f"token{number}" for number in range(100)])
        model.add_tensor("token_embd.weight", [64, 100], 0, 0)
        model.add_tensor("blk.0.attn_q.weight", [64, 64], 8, 25_600)
        model.data = b"\1" * (25_600 + 64 * 64 // 32 * 34)
        return model

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes, str], Path]:
    """Writes bytes to a file of the given name and returns its path."""

    def to_file(content: bytes, name: str = "model.gguf") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return to_file
