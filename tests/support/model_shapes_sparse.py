"""Headers of models with experts, with compressed attention and with recurrent state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shape_builder import (
    MXFP4,
    Q4_K,
    Q8_0,
    ShapeBuilder,
    attention,
    embedding,
    experts,
    feed_forward,
    set_experts,
)

from kobold_tui.domain.model import Header


def qwen3moe(n_layer: int, n_embd: int, n_ff: int, heads: tuple[int, int, int]) -> Header:
    """Return a model of architecture qwen3moe with 128 experts, eight of them used."""
    shape = ShapeBuilder("qwen3moe", n_layer, n_embd, 151_936)
    shape.heads(*heads)
    shape.set(feed_forward_length=6144)
    set_experts(shape, 128, 8, n_ff)
    embedding(shape)
    for block in range(n_layer):
        attention(shape, block, heads, norms=True)
        experts(shape, block, (128, n_ff))
    return shape.header()


def gpt_oss(n_layer: int, n_expert: int) -> Header:
    """Return a model of architecture gpt-oss, whose rows are no multiple of 512."""
    width, heads = 2880, (64, 8, 64)
    shape = ShapeBuilder("gpt-oss", n_layer, width, 201_088)
    shape.heads(*heads)
    shape.set(feed_forward_length=width, attention__sliding_window=128, rope__dimension_count=64)
    set_experts(shape, n_expert, 4, width)
    embedding(shape, type_id=Q8_0, output=Q8_0)
    for block in range(n_layer):
        attention(shape, block, heads, type_id=Q8_0, biases=True)
        shape.bias(block, "attn_output", width)
        shape.weight(block, "attn_sinks", 64)
        shape.weight(block, "post_attention_norm", width)
        experts(shape, block, (n_expert, width), type_id=MXFP4, norm="")
        shape.bias(block, "ffn_gate_inp", n_expert)
        for name in ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"):
            shape.bias(block, name, width, n_expert)
    return shape.header()


def deepseek2(
    sizes: tuple[int, int, int, int], n_head: int, query_rank: int, moe: tuple[int, int, int, int, int]
) -> Header:
    """Return a model of architecture deepseek2; `moe` is experts, used, width, shared, dense blocks."""
    n_layer, n_embd, n_ff, n_vocab = sizes
    n_expert, n_used, n_ff_expert, n_shared, n_dense = moe
    shape = ShapeBuilder("deepseek2", n_layer, n_embd, n_vocab)
    shape.set(attention__head_count=n_head, attention__head_count_kv=1, feed_forward_length=n_ff)
    shape.set(attention__key_length=576, attention__value_length=512, attention__kv_lora_rank=512)
    shape.set(attention__key_length_mla=192, attention__value_length_mla=128, rope__dimension_count=64)
    shape.set(leading_dense_block_count=n_dense, expert_shared_count=n_shared)
    shape.set(expert_gating_func=2, expert_weights_scale=2.5)
    if query_rank:
        shape.set(attention__q_lora_rank=query_rank)
    set_experts(shape, n_expert, n_used, n_ff_expert)
    embedding(shape)
    for block in range(n_layer):
        _compressed_attention(shape, block, n_head, query_rank)
        if block < n_dense:
            feed_forward(shape, block, n_ff)
        else:
            experts(shape, block, (n_expert, n_ff_expert), n_shared=n_ff_expert * n_shared)
            shape.bias(block, "exp_probs_b", n_expert)
    return shape.header()


def _compressed_attention(shape: ShapeBuilder, block: int, n_head: int, query_rank: int) -> None:
    width = shape.n_embd
    shape.weight(block, "attn_norm", width)
    shape.weight(block, "attn_kv_a_norm", 512)
    if query_rank:
        shape.weight(block, "attn_q_a_norm", query_rank)
        shape.weight(block, "attn_q_a", width, query_rank, type_id=Q4_K)
        shape.weight(block, "attn_q_b", query_rank, n_head * 192, type_id=Q4_K)
    else:
        shape.weight(block, "attn_q", width, n_head * 192, type_id=Q4_K)
    shape.weight(block, "attn_kv_a_mqa", width, 576, type_id=Q4_K)
    shape.weight(block, "attn_k_b", 128, 512, n_head, type_id=Q8_0)
    shape.weight(block, "attn_v_b", 512, 128, n_head, type_id=Q8_0)
    shape.weight(block, "attn_output", n_head * 128, width, type_id=Q4_K)


def _set_state(shape: ShapeBuilder, inner: int, state: int, groups: int, rank: int) -> None:
    shape.set(ssm__conv_kernel=4, ssm__inner_size=inner, ssm__state_size=state)
    shape.set(ssm__group_count=groups, ssm__time_step_rank=rank)


def _state_space(shape: ShapeBuilder, block: int, sizes: tuple[int, int, int, int]) -> None:
    inner, state, groups, rank = sizes
    n_convolved = inner + 2 * groups * state
    shape.weight(block, "attn_norm", shape.n_embd)
    shape.weight(block, "ssm_in", shape.n_embd, inner + n_convolved + rank, type_id=Q4_K)
    shape.weight(block, "ssm_conv1d", 4, n_convolved)
    shape.bias(block, "ssm_conv1d", n_convolved)
    shape.bias(block, "ssm_dt", rank)
    shape.tensor(f"blk.{block}.ssm_a", 1, rank)
    shape.tensor(f"blk.{block}.ssm_d", 1, rank)
    shape.weight(block, "ssm_norm", inner // groups, groups)
    shape.weight(block, "ssm_out", inner, shape.n_embd, type_id=Q4_K)


def mamba2(n_layer: int, n_embd: int) -> Header:
    """Return a model of architecture mamba2: no attention, state only."""
    sizes = (2 * n_embd, 128, 1, 80)
    shape = ShapeBuilder("mamba2", n_layer, n_embd, 50_288)
    _set_state(shape, *sizes)
    shape.set(feed_forward_length=0, attention__head_count=0)
    embedding(shape, is_tied=True)
    for block in range(n_layer):
        _state_space(shape, block, sizes)
    return shape.header()


def granite_hybrid(n_layer: int, n_embd: int, attention_at: frozenset[int]) -> Header:
    """Return a model of architecture granitehybrid: state in most layers, attention in a few, experts."""
    sizes, heads = (2 * n_embd, 128, 1, 128), (32, 8, n_embd // 32)
    shape = ShapeBuilder("granitehybrid", n_layer, n_embd, 100_352)
    shape.set(attention__head_count=32, feed_forward_length=768)
    shape.set(attention__head_count_kv=tuple(8 if block in attention_at else 0 for block in range(n_layer)))
    shape.set(expert_count=72, expert_used_count=10, expert_shared_feed_forward_length=1536)
    _set_state(shape, *sizes)
    embedding(shape, is_tied=True)
    for block in range(n_layer):
        if block in attention_at:
            attention(shape, block, heads)
        else:
            _state_space(shape, block, sizes)
        experts(shape, block, (72, 768), n_shared=1536)
    return shape.header()


def qwen3next(n_layer: int, n_embd: int) -> Header:
    """Return a model of architecture qwen3next: attention in every fourth layer, state in the others."""
    heads, state, n_key, n_value, n_ff = (16, 2, 256), 128, 16, 32, 512
    keys, values = state * n_key, state * n_value
    shape = ShapeBuilder("qwen3next", n_layer, n_embd, 151_936)
    shape.heads(*heads)
    shape.set(feed_forward_length=5120, rope__dimension_count=64, expert_shared_feed_forward_length=n_ff)
    set_experts(shape, 512, 10, n_ff)
    _set_state(shape, values, state, n_key, n_value)
    embedding(shape)
    for block in range(n_layer):
        if (block + 1) % 4 == 0:
            attention(shape, block, heads, norms=True, query_factor=2)
        else:
            shape.weight(block, "attn_norm", n_embd)
            shape.weight(block, "attn_qkv", n_embd, 2 * keys + values, type_id=Q4_K)
            shape.weight(block, "attn_gate", n_embd, values, type_id=Q4_K)
            shape.weight(block, "ssm_conv1d", 4, 2 * keys + values)
            shape.bias(block, "ssm_dt", n_value)
            shape.tensor(f"blk.{block}.ssm_a", n_value)
            shape.weight(block, "ssm_ba", n_embd, 2 * n_value, type_id=Q4_K)
            shape.weight(block, "ssm_norm", state)
            shape.weight(block, "ssm_out", values, n_embd, type_id=Q4_K)
        shape.weight(block, "post_attention_norm", n_embd)
        experts(shape, block, (512, n_ff), n_shared=n_ff, norm="")
        shape.weight(block, "ffn_gate_inp_shexp", n_embd)
    return shape.header()


SHAPES: dict[str, Callable[[], Header]] = {
    "qwen3moe-30b": partial(qwen3moe, 48, 2048, 768, (32, 4, 128)),
    "qwen3moe-235b": partial(qwen3moe, 94, 4096, 1536, (64, 4, 128)),
    "gpt-oss-20b": partial(gpt_oss, 24, 32),
    "gpt-oss-120b": partial(gpt_oss, 36, 128),
    "deepseek-v2-lite": partial(deepseek2, (27, 2048, 10_944, 102_400), 16, 0, (64, 6, 1408, 2, 1)),
    "deepseek-v3": partial(deepseek2, (61, 7168, 18_432, 129_280), 128, 1536, (256, 8, 2048, 1, 3)),
    "mamba2-2.7b": partial(mamba2, 64, 2560),
    "granite4-h-small": partial(granite_hybrid, 40, 4096, frozenset({5, 15, 25, 35})),
    "qwen3next-80b": partial(qwen3next, 48, 2048),
}
