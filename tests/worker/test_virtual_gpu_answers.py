"""Virtual cards answer as ggml's CUDA code does, and the short way round gives the same answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama, write_tiny_mamba, write_tiny_moe, write_tiny_swa
from virtual_gpus import computing, figures, planning

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import DeviceMemory
from kobold_tui.domain.model import Header, TensorInfo
from kobold_tui.domain.virtual_card import parse_cards
from kobold_tui.engine.worker import bindings, dry_run, virtual_gpu
from kobold_tui.engine.worker import virtual_gpu_answers as answers
from kobold_tui.engine.worker.ghost_file import path_of, write_ghost
from kobold_tui.gguf.ggml_types import TENSOR_TYPES
from kobold_tui.gguf.ghost import invent_ghost
from kobold_tui.gguf.header import read_header

N_CTX = 512
WRITERS: dict[str, Callable[[Path], Path]] = {
    "llama": write_tiny_llama,
    "moe": write_tiny_moe,
    "swa": write_tiny_swa,
    "mamba": write_tiny_mamba,
}


def heads(count: int, size: int) -> dict[str, bool | int | float | str]:
    """Overrides that give the tiny llama other heads, of the same width together."""
    attention = "llama.attention"
    return {
        f"{attention}.head_count": count,
        f"{attention}.head_count_kv": count,
        "llama.rope.dimension_count": size,
    }


def card(path: Path | str, **values: Any) -> DeviceMemory:
    """What one card holds with all layers."""
    with planning("8G"):
        options = LoadOptions(**{"n_ctx": N_CTX, "n_seq_max": 1, **values})
        return dry_run.measure(LoadSpec(path=str(path), options=options)).devices[1]


def tensor(name: str, dimensions: tuple[int, ...], type_id: int = 0) -> TensorInfo:
    kind = TENSOR_TYPES[type_id]
    n_bytes = math.prod(dimensions) // kind.block_size * kind.block_bytes
    return TensorInfo(
        name=name,
        dimensions=dimensions,
        type_id=type_id,
        type_name=kind.name,
        offset=0,
        n_bytes=n_bytes,
    )


def header(architecture: str = "llama", tensors: tuple[TensorInfo, ...] = (), **attention: Any) -> Header:
    metadata = {f"{architecture}.attention.{key}": value for key, value in attention.items()}
    return Header(
        paths=("x",),
        version=3,
        file_bytes=0,
        data_offset=0,
        alignment=32,
        metadata={
            "general.architecture": architecture,
            f"{architecture}.embedding_length": 4096,
            **metadata,
        },
        tensors=tensors,
    )


def test_attention_without_a_kernel_is_switched_off(tiny_llama: Path) -> None:
    def compute(flash_attn: Any, **kv: Any) -> int:
        return card(tiny_llama, flash_attn=flash_attn, n_ctx=2048, **kv).compute_bytes

    fitting = {"override_kv": heads(1, 64)}
    assert compute("auto") >= compute(False)
    assert compute("auto", **fitting) == compute(True, **fitting) < compute(False, **fitting)


def test_a_quantised_cache_is_copied_to_f16_for_attention(tiny_llama: Path) -> None:
    plain, quantised = (
        card(tiny_llama, n_ctx=16384, type_k=kind, type_v=kind, flash_attn=True, override_kv=heads(1, 64))
        for kind in ("f16", "q8_0")
    )
    assert quantised.kv_bytes < plain.kv_bytes
    assert quantised.compute_bytes - plain.compute_bytes >= 0.8 * 2 * 2 * 64 * 16384


def test_quantised_rows_are_padded_to_512(tmp_path: Path) -> None:
    def weights(width: int) -> int:
        q8_0, n_vocab = 8, 1024
        names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
        matrices = [tensor(f"blk.0.{name}.weight", (width, width), q8_0) for name in names]
        norms = [tensor(f"{name}.weight", (width,)) for name in ("blk.0.attn_norm", "blk.0.ffn_norm")]
        ends = [tensor(f"{name}.weight", (width, n_vocab), q8_0) for name in ("token_embd", "output")]
        metadata: dict[str, int | float | str] = {
            "general.architecture": "llama",
            "llama.block_count": 1,
            "llama.context_length": 4096,
            "llama.embedding_length": width,
            "llama.feed_forward_length": width,
            "llama.attention.head_count": 4,
            "llama.attention.layer_norm_rms_epsilon": 1e-5,
            "llama.vocab_size": n_vocab,
            "tokenizer.ggml.model": "none",
        }
        ghost = invent_ghost(metadata, [*matrices, *norms, tensor("output_norm.weight", (width,)), *ends])
        return card(path_of(write_ghost(ghost))).weights_bytes

    def expected(width: int, padding: int) -> int:
        """Seven matrices and the output, each padded to 128 bytes, and three norms."""
        matrix, output = (rows * width * 34 // 32 + padding for rows in (width, 1024))
        return 7 * (-(-matrix // 128) * 128) + -(-output // 128) * 128 + 3 * 4 * width

    assert weights(512) == expected(512, 0)
    assert weights(320) == expected(320, (512 - 320) * 34 // 32)


def test_weights_in_ram_are_copied_to_the_card_for_large_batches_only(tiny_llama: Path) -> None:
    assert card(tiny_llama, n_gpu_layers=0, n_ubatch=answers.MIN_OFFLOADED_BATCH).compute_bytes > 0
    assert card(tiny_llama, n_gpu_layers=0, n_ubatch=answers.MIN_OFFLOADED_BATCH - 1).compute_bytes == 0
    assert card(tiny_llama, n_gpu_layers=0, op_offload=False).compute_bytes == 0


@pytest.mark.parametrize("cards", [planning, computing])
def test_outputs_of_experts_live_until_they_are_summed_up(
    tiny_moe: Path, monkeypatch: pytest.MonkeyPatch, cards: Any
) -> None:
    names = {number: name for name, number in answers.operations().items()}
    seen: list[tuple[str, ...]] = []
    original = answers._weighted_sums

    def watched(nodes: list[int], kinds: list[int], operation: tuple[int, int, int]) -> Any:
        found = list(original(nodes, kinds, operation))
        seen.extend(tuple(names[kind] for kind in kinds[last - 3 : last + 1]) for last, _ in found)
        return found

    monkeypatch.setattr(answers, "_weighted_sums", watched)
    with cards("8G"):
        dry_run.measure(LoadSpec(path=str(tiny_moe), options=LoadOptions(n_ctx=N_CTX)))
    assert set(seen) == {("MUL", "VIEW", "VIEW", "ADD")}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("cache", ["f16", "f32"])
def test_the_questions_that_matter_give_the_figures_that_all_give(
    model_folder: Path, kind: str, cache: Any
) -> None:
    path = WRITERS[kind](model_folder / f"asked-{kind}-F32.gguf")
    options = LoadOptions(n_gpu_layers=2, n_ctx=N_CTX, type_k=cache, type_v=cache)
    results = []
    for questions in (answers.questions_about(read_header(path), options), answers.ALL_QUESTIONS):
        with bindings.other_gpus(virtual_gpu.planning_gpus(parse_cards("1G,1G"), questions)):
            results.append(figures(dry_run.measure(LoadSpec(path=str(path), options=options)).devices))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("attention", "plain"),
    [
        ({"head_count": 32}, True),
        ({"head_count": (32, 0, 32)}, True),
        ({"head_count": 0}, True),
        ({"head_count": 32, "key_length": 256, "value_length": 256}, True),
        ({"head_count": 128}, False),
        ({"head_count": 32, "key_length": 192, "value_length": 128}, False),
        ({"head_count": 32, "key_length": 128, "value_length": 64}, False),
        ({"head_count": 32, "key_length": 128, "key_length_swa": 512}, False),
        ({"head_count": 32, "kv_lora_rank": 512}, False),
        ({}, False),
        ({"head_count": "many"}, False),
    ],
)
def test_only_heads_that_certainly_have_a_kernel_go_unwatched(attention: dict[str, Any], plain: bool) -> None:
    assert answers.questions_about(header(**attention), LoadOptions()).attention is not plain


def test_cache_types_and_odd_rows_and_experts_make_questions_necessary() -> None:
    usual = header(tensors=(tensor("blk.0.attn_q.weight", (4096, 4096), 12),), head_count=32)
    assert answers.questions_about(usual, LoadOptions()) == (False, False, False)
    assert answers.questions_about(usual, LoadOptions(type_v="q8_0")) == (False, True, False)
    assert answers.questions_about(usual, LoadOptions(type_k="iq4_nl")) == (True, True, False)
    odd = header(tensors=(tensor("blk.0.attn_q.weight", (2880, 4096), 8),), head_count=32)
    assert answers.questions_about(odd, LoadOptions()).sizes
    experts = header(tensors=(tensor("blk.0.ffn_up_exps.weight", (512, 512, 4)),), head_count=32)
    assert answers.questions_about(experts, LoadOptions()).experts
