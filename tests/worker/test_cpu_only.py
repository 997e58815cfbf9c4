"""A model that is to keep off every card does, and its process does not even see them."""

from __future__ import annotations

from pathlib import Path

import pytest
from virtual_gpus import launch_with

from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.load_options import CPU_ONLY, LoadOptions
from kobold_tui.engine.process import ProcessEngine

OPTIONS = LoadOptions(n_ctx=512, n_threads=1)


@pytest.mark.parametrize("layers", ["auto", 2])
async def test_no_layer_goes_to_a_card(tiny_llama: Path, layers: int | str) -> None:
    engine = ProcessEngine(InstanceId("x"), launch=launch_with("1G"))
    options = LoadOptions(n_ctx=512, n_threads=1, n_gpu_layers=layers, devices=CPU_ONLY)  # type: ignore[arg-type]
    try:
        info = await engine.ensure_ready(LoadSpec(path=str(tiny_llama), options=options))
        assert info.n_gpu_layers == 0
        memory = await engine.dry_run(LoadSpec(path=str(tiny_llama), options=options))
        assert [device.total_bytes for device in memory.cards if device.total_bytes] == []
    finally:
        await engine.stop()


async def test_the_process_sees_no_card_and_that_of_another_does(tiny_llama: Path) -> None:
    hidden, seen = ProcessEngine(InstanceId("hidden")), ProcessEngine(InstanceId("seen"))
    try:
        await hidden.ensure_ready(
            LoadSpec(path=str(tiny_llama), options=LoadOptions(n_ctx=512, n_threads=1, devices=CPU_ONLY))
        )
        await seen.ensure_ready(LoadSpec(path=str(tiny_llama), options=OPTIONS))
        assert b"CUDA_VISIBLE_DEVICES=" in environment(hidden)
        assert b"CUDA_VISIBLE_DEVICES=" not in environment(seen)
    finally:
        await hidden.stop()
        await seen.stop()


def environment(engine: ProcessEngine) -> list[bytes]:
    return Path(f"/proc/{engine.pid}/environ").read_bytes().split(b"\0")
