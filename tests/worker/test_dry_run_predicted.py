"""What is predicted from a header is what llama.cpp places: weights and cache, byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_shapes import SHAPES, header_of, write_file
from tiny_extras import write_tiny_reranker
from tiny_models import (
    write_tiny_bert,
    write_tiny_llama,
    write_tiny_mamba,
    write_tiny_moe,
    write_tiny_swa,
)

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device, DeviceMemory, MemoryEstimate, predict, shape_of
from kobold_tui.domain.model import Header
from kobold_tui.domain.units import GIB
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.engine.worker import bindings, dry_run, virtual_gpu
from kobold_tui.engine.worker.ghost_file import GhostFiles
from kobold_tui.engine.worker.memory_fallback import NOTE, with_predicted_weights
from kobold_tui.engine.worker.virtual_gpu_answers import questions_about
from kobold_tui.gguf.header import read_header

TINY: dict[str, Callable[[Path], Path]] = {
    "llama": write_tiny_llama,
    "moe": write_tiny_moe,
    "swa": write_tiny_swa,
    "mamba": write_tiny_mamba,
    "bert": write_tiny_bert,
    "reranker": write_tiny_reranker,
}
SIZES = {"one card": (24,), "unequal cards": (24, 8, 48)}


def planned(path: Path, header: Header, options: LoadOptions, sizes: tuple[int, ...]) -> MemoryEstimate:
    cards = tuple(VirtualCard(name=f"CUDA{index}", free_bytes=size * GIB) for index, size in enumerate(sizes))
    with bindings.other_gpus(virtual_gpu.planning_gpus(cards, questions_about(header, options))):
        return dry_run.measure(LoadSpec(path=str(path), options=options))


def predicted(header: Header, options: LoadOptions, sizes: tuple[int, ...]) -> MemoryEstimate:
    cards = [Device(name=f"CUDA{index}", free_bytes=size * GIB) for index, size in enumerate(sizes)]
    host = Device(name="RAM", free_bytes=None, is_host=True, backend="CPU")
    return predict(shape_of(header), options, [host, *cards])


def fixed(devices: tuple[DeviceMemory, ...]) -> list[tuple[str, int, int]]:
    return [(device.name, device.weights_bytes, device.kv_bytes) for device in devices]


def check(path: Path, header: Header, sizes: tuple[int, ...], **values: Any) -> None:
    options = LoadOptions(**values)
    exact, guess = planned(path, header, options, sizes), predicted(header, options, sizes)
    assert fixed(guess.devices) == fixed(exact.devices), values
    assert guess.n_gpu_layers == exact.n_gpu_layers


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", TINY)
def test_tiny_models(model_folder: Path, kind: str, sizes: tuple[int, ...]) -> None:
    path = TINY[kind](model_folder / f"predicted-{kind}-F32.gguf")
    header = read_header(path)
    for n_gpu_layers in (0, 1, 2, "auto"):
        check(path, header, sizes, n_gpu_layers=n_gpu_layers, n_ctx=512)
        check(path, header, sizes, n_gpu_layers=n_gpu_layers, n_ctx=700, n_seq_max=2, kv_unified=False)


@pytest.mark.parametrize("name", SHAPES)
def test_models_of_known_shapes(tmp_path: Path, name: str) -> None:
    header = header_of(name)
    path = write_file(header, tmp_path / "shape.gguf")
    check(path, header, (24,), n_gpu_layers=header.n_layer // 2, n_ctx=4096, n_seq_max=1)
    quantised = {"type_k": "q8_0", "type_v": "q8_0", "flash_attn": True}
    check(path, header, (24, 8, 48), n_gpu_layers=header.n_layer, n_ctx=8192, n_seq_max=1, **quantised)


def test_an_estimate_by_the_log_is_completed_by_the_prediction(model_folder: Path) -> None:
    for kind in ("llama", "mamba"):
        path = TINY[kind](model_folder / f"predicted-{kind}-F32.gguf")
        spec = LoadSpec(path=str(path), options=LoadOptions(n_gpu_layers=2, n_ctx=512))
        ghosts = GhostFiles()
        with bindings.other_gpus(virtual_gpu.planning_gpus([VirtualCard(name="x", free_bytes=GIB)])):
            exact = dry_run.measure(spec)
            logged = dry_run.measure(spec, by_log=True)
        completed = with_predicted_weights(logged, ghosts.of(path).header, spec)
        ghosts.close()
        assert fixed(completed.devices) == fixed(exact.devices)
        assert not completed.exact
        assert NOTE in completed.notes
        for told, known in zip(completed.devices, exact.devices, strict=True):
            assert told.compute_bytes == pytest.approx(known.compute_bytes, abs=2**20 / 100)
