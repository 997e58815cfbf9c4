"""A dry run of a ghost gives the same figures as one of the whole model, byte by byte."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_extras import write_tiny_reranker
from tiny_models import (
    write_tiny_bert,
    write_tiny_llama,
    write_tiny_mamba,
    write_tiny_moe,
    write_tiny_swa,
)
from virtual_gpus import figures, planning

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.virtual_card import parse_cards
from kobold_tui.engine.worker import bindings, dry_run, host
from kobold_tui.engine.worker.ghost_file import MAX_GHOSTS, GhostFiles
from kobold_tui.engine.worker.planner import PlannerBackend

WRITERS: dict[str, Callable[[Path], Path]] = {
    "llama": write_tiny_llama,
    "moe": write_tiny_moe,
    "swa": write_tiny_swa,
    "mamba": write_tiny_mamba,
    "bert": write_tiny_bert,
    "reranker": write_tiny_reranker,
}


@pytest.fixture
def ghosts() -> GhostFiles:
    return GhostFiles()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("cards", ["", "1G,2G"], ids=["no cards", "two cards"])
def test_a_ghost_takes_what_the_model_takes(
    model_folder: Path, ghosts: GhostFiles, kind: str, cards: str
) -> None:
    model = WRITERS[kind](model_folder / f"haunted-{kind}-F32.gguf")
    with planning(cards):
        for n_gpu_layers in (0, 1, 2, 100):
            spec = LoadSpec(path=str(model), options=LoadOptions(n_gpu_layers=n_gpu_layers, n_ctx=512))
            whole, ghost = dry_run.measure(spec), dry_run.measure(spec, ghosts.of(model).path)
            assert figures(ghost.devices) == figures(whole.devices)
            assert (ghost.n_layer, ghost.n_gpu_layers) == (whole.n_layer, whole.n_gpu_layers)


def test_a_ghost_is_kept_until_its_model_changes(tmp_path: Path, ghosts: GhostFiles) -> None:
    model = write_tiny_llama(tmp_path / "model.gguf")
    first = ghosts.of(model)
    before = os.fstat(first.descriptor).st_ino
    assert ghosts.of(model) is first
    write_tiny_llama(model, n_layer=3)
    assert ghosts.of(model).header.n_layer == 3
    assert os.fstat(first.descriptor).st_ino != before  # closed, and its number given to the new one


def test_only_the_newest_ghosts_are_kept(tmp_path: Path, ghosts: GhostFiles) -> None:
    made = [ghosts.of(write_tiny_llama(tmp_path / f"{number}.gguf")) for number in range(MAX_GHOSTS + 1)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made[0].descriptor)
    assert os.fstat(made[1].descriptor).st_size > 0
    ghosts.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made[1].descriptor)


def test_overrides_of_the_vocabulary_do_not_disturb_a_planner(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings.NATIVE_LOG, "write_errors_only", lambda: None)
    planner = PlannerBackend("real")
    overrides: dict[str, bool | int | float | str] = {"tokenizer.ggml.model": "gpt2", "llama.vocab_size": 7}
    plain, overridden = (
        planner.dry_run(LoadSpec(path=str(tiny_llama), options=LoadOptions(n_gpu_layers=0, override_kv=kv)))
        for kv in ({}, overrides)
    )
    assert figures(plain.devices) == figures(overridden.devices)
    planner.unload()


def test_a_planner_takes_no_memory_for_recurrent_state_in_ram(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings.NATIVE_LOG, "write_errors_only", lambda: None)
    mamba = write_tiny_mamba(model_folder / "planned-mamba-F32.gguf", n_layer=12, n_embd=512)
    spec = LoadSpec(path=str(mamba), options=LoadOptions(n_gpu_layers=0, n_seq_max=256))
    with planning("1G"):
        allocated = dry_run.measure(spec)
    planner = PlannerBackend("virtual")
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 2**20)
    planned = planner.dry_run(spec, parse_cards("1G"))
    assert planned.devices[0].kv_bytes > 40 * 2**20
    assert figures(planned.devices) == figures(allocated.devices)
    gc.collect()  # what earlier tests left would count as room
    with pytest.raises(KoboldError, match="no room for its recurrent state"), planning("1G"):
        dry_run.measure(spec)
    planner.unload()
