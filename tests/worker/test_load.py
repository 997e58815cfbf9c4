"""Loading: every option reaches llama.cpp, progress is told, and a cancel is heard."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.instance import LoadPhase, LoadSpec, ModelInfo
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker import host
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]
GREEDY = GenerateRequest(prompt="hello", max_tokens=30, sampling=SamplingOptions(temperature=0))


def refusal(path: Path, **options: Any) -> KoboldError:
    """The error of loading `path`."""
    backend = LlamaBackend()
    spec = LoadSpec(path=str(path), options=LoadOptions(**options))
    with pytest.raises(KoboldError) as caught:
        backend.load(spec, lambda _phase, _fraction: None, lambda: False)
    backend.unload()
    return caught.value


def info_of(path: Path, **options: Any) -> ModelInfo:
    backend = LlamaBackend()
    spec = LoadSpec(path=str(path), options=LoadOptions(**options))
    info = backend.load(spec, lambda _phase, _fraction: None, lambda: False)
    backend.unload()
    return info


def native_options(monkeypatch: pytest.MonkeyPatch, path: Path, **options: Any) -> tuple[Any, Any]:
    """The structs that llama.cpp gets for these options."""
    seen: list[Any] = []

    def spy(function: Any) -> Any:
        def call(first: Any, params: Any) -> Any:
            seen.append(params)
            return function(first, params)

        return call

    for name in ("llama_model_load_from_file", "llama_init_from_model"):
        monkeypatch.setattr(C, name, spy(getattr(C, name)))
    info_of(path, **options)
    return seen[0], seen[1]


def test_facts_about_the_model_are_those_of_the_file(tiny_llama: Path) -> None:
    info = info_of(tiny_llama)
    assert (info.name, info.architecture) == ("tiny-llama", "llama")
    assert (info.n_layer, info.n_embd, info.n_vocab, info.n_ctx_train) == (2, 64, 512, 2048)
    assert (info.n_ctx, info.n_seq_max, info.can_shift, info.has_encoder_only) == (2048, 4, True, False)
    assert info.n_gpu_layers == (3 if info.gpu_offload_supported else 0)
    assert info.seconds_to_load > 0


def test_options_reach_llama_cpp(monkeypatch: pytest.MonkeyPatch, tiny_llama: Path) -> None:
    model, context = native_options(
        monkeypatch,
        tiny_llama,
        n_gpu_layers=1,
        n_ctx=512,
        n_batch=128,
        n_ubatch=64,
        n_threads=1,
        n_threads_batch=2,
        flash_attn=True,
        type_k="f32",
        type_v="bf16",
        swa_full=True,
        offload_kqv=False,
        op_offload=False,
        tensor_split=(3.0, 1.0),
        split_mode="none",
        use_mmap=False,
        use_mlock=True,
        check_tensors=True,
        rope_freq_base=5000.0,
        rope_freq_scale=0.5,
        n_seq_max=3,
        n_draft=2,
        kv_unified=False,
    )
    assert (model.split_mode, model.main_gpu, model.load_mode) == (0, 0, C.LLAMA_LOAD_MODE_MLOCK)
    assert model.check_tensors
    assert (model.tensor_split[0], model.tensor_split[1], model.tensor_split[2]) == (3.0, 1.0, 0.0)
    assert (context.n_ctx, context.n_batch, context.n_ubatch) == (512, 128, 64)
    assert (context.n_threads, context.n_threads_batch) == (1, min(2, host.usable_cores()))
    assert (context.flash_attn_type, context.type_k, context.type_v) == (1, 0, 30)
    assert (context.swa_full, context.offload_kqv, context.op_offload) == (True, False, False)
    assert (context.rope_freq_base, context.rope_freq_scale) == (5000.0, 0.5)
    assert (context.n_seq_max, context.n_outputs_max, context.kv_unified) == (3, 9, False)


def test_auto_threads_leave_a_core_to_the_program(tiny_llama: Path) -> None:
    assert info_of(tiny_llama).n_threads == max(1, host.usable_cores() - 1)
    assert info_of(tiny_llama, n_threads=1000).n_threads == host.usable_cores()


def test_a_quantised_cache_and_a_rope_change_answer_differently(
    load: LoadBackend, ask: Ask, tiny_llama: Path
) -> None:
    usual = ask(load(tiny_llama), GREEDY).text
    turned = ask(load(tiny_llama, options=LoadOptions(n_threads=1, rope_freq_base=10.0)), GREEDY).text
    assert turned != usual


def test_a_metadata_override_changes_the_model(tiny_llama: Path) -> None:
    changed = info_of(tiny_llama, override_kv={"llama.context_length": 1024, "general.name": "other"})
    assert changed.n_ctx_train == 1024


def test_experts_can_be_kept_in_ram_by_count_and_by_pattern(
    monkeypatch: pytest.MonkeyPatch, tiny_moe: Path
) -> None:
    seen: list[bytes | None] = []
    load_file = C.llama_model_load_from_file

    def look(path: bytes, params: Any) -> Any:
        array = (ctypes.c_char_p * 8).from_address(params.tensor_buft_overrides)
        seen.extend(array[index] for index in (0, 2, 4, 6))
        return load_file(path, params)

    monkeypatch.setattr(C, "llama_model_load_from_file", look)
    info_of(tiny_moe, n_cpu_moe=2, override_tensors=(r"blk\.0\.attn=CPU",))
    experts = [rb"blk\.%d\.ffn_(up|down|gate|gate_up)_(ch|)exps" % layer for layer in (0, 1)]
    assert seen == [rb"blk\.0\.attn", *experts, None]


def test_phases_come_in_order_with_fractions_only_where_the_file_is_read(tiny_llama: Path) -> None:
    def phases(*, use_mmap: bool) -> list[tuple[LoadPhase, float | None]]:
        seen: list[tuple[LoadPhase, float | None]] = []
        backend = LlamaBackend()
        spec = LoadSpec(path=str(tiny_llama), options=LoadOptions(use_mmap=use_mmap, n_gpu_layers=0))
        backend.load(spec, lambda phase, fraction: seen.append((phase, fraction)), lambda: False)
        backend.unload()
        return seen

    assert phases(use_mmap=True) == [
        ("weights", None), ("context", None), ("template", None), ("warmup", None)
    ]  # fmt: skip
    fractions = [fraction for phase, fraction in phases(use_mmap=False) if phase == "weights"]
    assert fractions[0] is None
    assert fractions[-1] == 1.0


@pytest.mark.parametrize("phase", ["weights", "context", "template", "warmup"])
def test_a_load_can_be_cancelled_in_every_phase(tiny_llama: Path, phase: LoadPhase) -> None:
    backend, reached = LlamaBackend(), []
    spec = LoadSpec(path=str(tiny_llama), options=LoadOptions(use_mmap=False))
    with pytest.raises(KoboldError, match="was cancelled"):
        backend.load(spec, lambda now, _fraction: reached.append(now), lambda: phase in reached)
    assert reached[-1] in {phase, "warmup"}
    backend.load(spec, lambda _phase, _fraction: None, lambda: False)
    backend.unload()


def test_a_second_load_in_one_worker_is_refused(backend: LlamaBackend, tiny_llama: Path) -> None:
    with pytest.raises(KoboldError, match=r"holds tiny-llama-F32\.gguf"):
        backend.load(LoadSpec(path=str(tiny_llama)), lambda _phase, _fraction: None, lambda: False)


def test_a_large_vocabulary_loads(load: LoadBackend, ask: Ask, tmp_path: Path) -> None:
    backend = load(write_tiny_llama(tmp_path / "wide.gguf", n_embd=16, n_layer=1, n_vocab=4096))
    assert ask(backend, GREEDY).finished.usage.completion_tokens == 30
