"""Cards that compute on the CPU, in this process or in workers, and figures to compare."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import msgspec

from kobold_tui.domain.memory import DeviceMemory
from kobold_tui.domain.virtual_card import parse_cards
from kobold_tui.engine.spawn import Launch
from kobold_tui.engine.worker import bindings
from kobold_tui.engine.worker.virtual_gpu import VARIABLE, VirtualGpu, planning_gpus


@contextlib.contextmanager
def computing(sizes: str) -> Iterator[tuple[VirtualGpu, ...]]:
    """Let loads in this process see cards of these sizes, such as `1G,512M`."""
    gpus = tuple(VirtualGpu(index, card, computes=True) for index, card in enumerate(parse_cards(sizes)))
    with bindings.other_gpus([gpu.device for gpu in gpus]):
        yield gpus


@contextlib.contextmanager
def planning(sizes: str) -> Iterator[None]:
    """Let dry runs in this process see cards of these sizes; no size is no card."""
    with bindings.other_gpus(planning_gpus(parse_cards(sizes)) if sizes else ()):
        yield


def launch_with(sizes: str) -> Launch:
    """How workers are started that see such cards."""
    return Launch(environment={VARIABLE: sizes})


def figures(devices: Iterable[DeviceMemory]) -> tuple[DeviceMemory, ...]:
    """The same without the free memory, which changes from moment to moment."""
    return tuple(msgspec.structs.replace(device, free_bytes=None) for device in devices)
