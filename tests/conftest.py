"""Generated models that every part's tests can load; written once for a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import write_tiny_bert, write_tiny_llama, write_tiny_moe


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that holds the generated models."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny_llama(model_folder: Path) -> Path:
    """A chat model of random weights."""
    return write_tiny_llama(model_folder / "tiny-llama-F32.gguf")


@pytest.fixture(scope="session")
def tiny_moe(model_folder: Path) -> Path:
    """A mixture of experts of random weights."""
    return write_tiny_moe(model_folder / "tiny-moe-F32.gguf")


@pytest.fixture(scope="session")
def tiny_bert(model_folder: Path) -> Path:
    """An embedding model of random weights."""
    return write_tiny_bert(model_folder / "tiny-bert-F32.gguf")
