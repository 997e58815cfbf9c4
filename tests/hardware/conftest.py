"""A driver that does what a test tells it, and probes over it that are closed in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nvml_stub import Stub
from still_clock import StillClock

from kobold_tui.hardware.nvml import NvmlProbe


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    """Return a driver with two cards that this process finds: an A100, then an RTX 4090."""
    driver = Stub(tmp_path)
    with driver.loaded():
        yield driver


@pytest.fixture
def open_probe(stub: Stub, clock: StillClock, tmp_path: Path) -> Iterator[Callable[..., NvmlProbe]]:
    """Return how to open a probe, with variables of the environment as keywords."""
    opened: list[NvmlProbe] = []

    def open_(**environment: str) -> NvmlProbe:
        opened.append(NvmlProbe(environment, tmp_path, clock))
        return opened[-1]

    yield open_
    stub.tell()
    for probe in opened:
        probe.close()
