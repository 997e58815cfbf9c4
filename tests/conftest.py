"""What all tests share: generated models, written once for a run, and a ctrl+c that arrives."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tiny_models import write_tiny_bert, write_tiny_llama, write_tiny_moe


def pytest_configure() -> None:
    """Let ctrl+c reach the programs under test: what a script starts in its background is to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
