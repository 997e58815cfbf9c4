"""A hub on loopback and what talks to it; no account and no proxy of this machine takes part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from hub_bench import Bench
from hub_server import HubServer, hub_server


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep whatever account this machine has out of the tests, and proxies away from loopback."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with nothing in it."""
    with hub_server() as server:
        yield server


@pytest.fixture
def bench(server: HubServer, tmp_path: Path) -> Bench:
    """A hub with one small model."""
    return Bench(server, tmp_path)
