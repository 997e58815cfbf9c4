"""Takes from a GGUF file, by the `gguf` package's own reader, every value that our reader must agree with.

Usage: python -m tests.data.make_gguf_values FILE > tests/data/gguf_NAME.json. The reader of the package needs
some ten seconds and more than a gibibyte of memory for a vocabulary of 262,144 tokens. Long arrays are told
by length, texts of more than 200 characters by a digest.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import gguf

LONG_ARRAY = 64
LONG_TEXT = 200


def main(path: str) -> None:
    """Print the values as JSON."""
    reader = gguf.GGUFReader(path)
    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    document = {
        "source": f"gguf.GGUFReader of {Path(path).name}",
        "file_bytes": Path(path).stat().st_size,
        "version": int(reader.fields["GGUF.version"].contents()),
        "data_offset": int(reader.data_offset),
        "alignment": int(reader.alignment),
        "metadata": {name: _value(field) for name, field in fields.items()},
        "n_tensors": len(reader.tensors),
        "n_parameters": sum(int(tensor.n_elements) for tensor in reader.tensors),
        "tensor_bytes": sum(int(tensor.n_bytes) for tensor in reader.tensors),
        "tensors_sha256": digest([_row(tensor, reader.data_offset) for tensor in reader.tensors]),
    }
    print(json.dumps(document, ensure_ascii=False, indent=1))  # noqa: T201


def digest(rows: list[tuple[str, list[int], str, int, int]]) -> str:
    """Return the SHA-256 of name, shape, type, offset and bytes of all tensors, in order."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def shortened(value: Any) -> Any:
    """Return a value as it stands in the document."""
    if isinstance(value, (list, tuple)):
        return {"length": len(value)} if len(value) > LONG_ARRAY else list(value)
    if isinstance(value, str) and len(value) > LONG_TEXT:
        return {"characters": len(value), "sha256": hashlib.sha256(value.encode()).hexdigest()}
    return value


def _value(field: Any) -> Any:
    is_array = field.types[0] == gguf.GGUFValueType.ARRAY
    if is_array and len(field.data) > LONG_ARRAY:
        return {"length": len(field.data)}
    return shortened(field.contents())


def _row(tensor: Any, data_offset: int) -> tuple[str, list[int], str, int, int]:
    shape = [int(size) for size in tensor.shape]
    kind = tensor.tensor_type.name.lower()
    return tensor.name, shape, kind, int(tensor.data_offset) - int(data_offset), int(tensor.n_bytes)


if __name__ == "__main__":
    main(sys.argv[1])
