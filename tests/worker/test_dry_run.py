"""A dry run counts the memory that a load takes, byte by byte, and takes none."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_models import write_tiny_mamba
from virtual_gpus import planning

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.worker import bindings, dry_run, host, memory_breakdown
from kobold_tui.engine.worker.llama_backend import LlamaBackend

Ask = Callable[[LlamaBackend, GenerateRequest], Any]


def estimate(path: Path, **options: Any) -> MemoryEstimate:
    return dry_run.measure(LoadSpec(path=str(path), options=LoadOptions(n_gpu_layers=0, **options)))


def test_weights_and_cache_are_exact(tiny_llama: Path) -> None:
    result = estimate(tiny_llama, n_ctx=1024)
    ram = next(device for device in result.devices if device.is_host)
    assert (result.exact, result.n_layer, result.n_gpu_layers) == (True, 2, 0)
    assert ram.weights_bytes == 4 * (2 * 512 * 64 + 64 + 2 * (2 * 64 + 4 * 64 * 64 + 3 * 64 * 128))
    assert ram.kv_bytes == 1024 * 2 * (64 + 64) * 2
    assert ram.compute_bytes > 0
    assert ram.free_bytes


def test_options_change_what_is_counted(tiny_llama: Path) -> None:
    def ram(**options: Any) -> tuple[int, int]:
        device = estimate(tiny_llama, **options).devices[0]
        return device.kv_bytes, device.compute_bytes

    assert ram(n_ctx=2048)[0] == 2 * ram(n_ctx=1024)[0]
    assert ram(type_k="f32", type_v="f32")[0] == 2 * ram()[0]
    assert ram(n_ubatch=512)[1] > ram(n_ubatch=64)[1]
    assert ram(n_outputs_max=512)[1] > ram(n_outputs_max=4)[1]


def test_all_buffers_of_the_host_are_one_device(tiny_moe: Path) -> None:
    assert [device.name for device in estimate(tiny_moe, n_cpu_moe=1).devices if device.is_host] == ["RAM"]


def test_an_encoder_has_no_cache(tiny_bert: Path) -> None:
    assert estimate(tiny_bert).devices[0].kv_bytes == 0


def test_nothing_of_the_cache_is_allocated(tiny_llama: Path) -> None:
    before = psutil.Process().memory_info().vms
    counted = estimate(tiny_llama, n_ctx=16_777_216, n_seq_max=1).devices[0].kv_bytes
    grown = psutil.Process().memory_info().vms - before
    assert counted == 16_777_216 * 2 * 128 * 2
    assert grown < counted / 10


def test_the_loaded_model_goes_on_after_a_dry_run(backend: LlamaBackend, ask: Ask, tiny_moe: Path) -> None:
    backend.start(1, GenerateRequest(prompt="hello", max_tokens=20))
    next(iter(backend.step()), None)
    assert backend.dry_run(LoadSpec(path=str(tiny_moe))).exact
    done = 0
    while backend.busy:
        done += sum(1 for _ in backend.step())
    assert done == 20


def test_the_breakdown_of_a_load_agrees_with_the_dry_run(backend: LlamaBackend, tiny_llama: Path) -> None:
    assert backend._model is not None
    real = dry_run.breakdown(backend._model.context)[0]
    predicted = dry_run.measure(backend._model.spec).devices[0]
    assert (predicted.kv_bytes, predicted.compute_bytes) == (real.kv_bytes, real.compute_bytes)


def test_a_broken_file_is_refused_as_in_a_load(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(KoboldError, match="ends before its tensors do"):
        estimate(tmp_path / "x.gguf")


def test_a_build_without_the_function_says_so(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_breakdown, "_SYMBOL", "_Z7nothingv")
    with pytest.raises(KoboldError, match="has no function _Z7nothingv"):
        estimate(tiny_llama)


def test_a_layout_that_is_not_the_expected_one_is_an_error_and_no_number(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = bindings.symbol

    def symbol(name: str, result: Any, *arguments: Any) -> Any:
        function = original(name, result, *arguments)
        if not name.startswith("_Z26"):
            return function

        def shifted(context: int) -> Any:
            tree = function(context)
            tree.count += 1
            return tree

        return shifted

    monkeypatch.setattr(bindings, "symbol", symbol)
    with pytest.raises(KoboldError, match="in a form that is not known"):
        estimate(tiny_llama)


def test_the_log_tells_what_a_dry_run_does_not_place(tiny_llama: Path, model_folder: Path) -> None:
    mamba = write_tiny_mamba(model_folder / "logged-mamba-F32.gguf")
    for model in (tiny_llama, mamba):
        spec = LoadSpec(path=str(model), options=LoadOptions(n_gpu_layers=2, n_seq_max=8))
        with planning("1G"):
            exact, logged = dry_run.measure(spec), dry_run.measure(spec, by_log=True)
        assert (exact.exact, logged.exact) == (True, False)
        for known, told in zip(exact.devices, logged.devices, strict=True):
            assert told.name == known.name
            assert told.weights_bytes == 0
            assert told.compute_bytes == pytest.approx(known.compute_bytes, abs=2**20 / 100)
            state = known.kv_bytes if model is mamba else 0
            assert told.kv_bytes == pytest.approx(state, abs=2**20 / 100)


def test_recurrent_state_that_ram_cannot_hold_is_refused(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mamba = write_tiny_mamba(model_folder / "bounded-mamba-F32.gguf", n_layer=12, n_embd=512)
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 2**20)
    gc.collect()  # what earlier tests left would count as room
    with pytest.raises(KoboldError, match="no room for its recurrent state") as refused:
        estimate(mamba, n_seq_max=256)
    assert "fewer slots" in refused.value.hint


def test_recurrent_state_of_virtual_cards_takes_no_memory(model_folder: Path) -> None:
    mamba = write_tiny_mamba(model_folder / "stateful-mamba-F32.gguf", n_layer=4, n_embd=512)
    before = psutil.Process().memory_info().rss
    with planning("1G"):
        spec = LoadSpec(path=str(mamba), options=LoadOptions(n_gpu_layers=5, n_seq_max=256))
        state = dry_run.measure(spec).devices[1].kv_bytes
    assert state > 40 * 2**20
    assert psutil.Process().memory_info().rss - before < state / 2
