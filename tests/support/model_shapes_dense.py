"""Headers of dense models: llama, qwen, gemma and phi in the sizes that people run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shape_builder import (
    Q4_K,
    Q5_K,
    Q6_K,
    ShapeBuilder,
    attention,
    embedding,
    feed_forward,
)

from kobold_tui.domain.model import Header

Sizes = tuple[int, int, int, int]
"""Blocks, width, width of the feed-forward part, tokens."""


def llama(
    sizes: Sizes, n_head: int, n_head_kv: int, *, is_tied: bool = False, rope_factors: bool = True
) -> Header:
    """Return a model of architecture llama."""
    n_layer, n_embd, n_ff, n_vocab = sizes
    head_size = n_embd // n_head
    shape = ShapeBuilder("llama", n_layer, n_embd, n_vocab)
    shape.heads(n_head, n_head_kv)
    shape.set(feed_forward_length=n_ff, rope__dimension_count=head_size)
    embedding(shape, is_tied=is_tied)
    if rope_factors:
        shape.tensor("rope_freqs.weight", head_size // 2)
    for block in range(n_layer):
        attention(shape, block, (n_head, n_head_kv, head_size))
        feed_forward(shape, block, n_ff)
    return shape.header()


def qwen(architecture: str, sizes: Sizes, heads: tuple[int, int, int]) -> Header:
    """Return a model of architecture qwen2 (biases) or qwen3 (norms)."""
    n_layer, n_embd, n_ff, n_vocab = sizes
    shape = ShapeBuilder(architecture, n_layer, n_embd, n_vocab)
    shape.heads(*heads)
    shape.set(feed_forward_length=n_ff)
    embedding(shape)
    is_older = architecture == "qwen2"
    for block in range(n_layer):
        attention(shape, block, heads, biases=is_older, norms=not is_older)
        feed_forward(shape, block, n_ff)
    return shape.header()


def gemma(architecture: str, sizes: Sizes, heads: tuple[int, int, int], window: int) -> Header:
    """Return a model of architecture gemma2 or gemma3, whose layers partly see a window only."""
    n_layer, n_embd, n_ff, n_vocab = sizes
    shape = ShapeBuilder(architecture, n_layer, n_embd, n_vocab)
    shape.heads(*heads)
    shape.set(feed_forward_length=n_ff, attention__sliding_window=window)
    if architecture == "gemma2":
        shape.set(attn_logit_softcapping=50.0, final_logit_softcapping=30.0)
    embedding(shape, is_tied=True)
    for block in range(n_layer):
        attention(shape, block, heads, norms=architecture == "gemma3")
        feed_forward(shape, block, n_ff)
        shape.weight(block, "post_attention_norm", n_embd)
        shape.weight(block, "post_ffw_norm", n_embd)
    return shape.header()


def phi3(sizes: Sizes, n_head: int) -> Header:
    """Return a model of architecture phi3: fused weights, and a window that llama.cpp ignores."""
    n_layer, n_embd, n_ff, n_vocab = sizes
    head_size = n_embd // n_head
    shape = ShapeBuilder("phi3", n_layer, n_embd, n_vocab)
    shape.heads(n_head, n_head)
    shape.set(feed_forward_length=n_ff, attention__sliding_window=262_144)
    shape.set(rope__dimension_count=head_size, rope__scaling__original_context_length=4096)
    embedding(shape)
    shape.tensor("rope_factors_long.weight", head_size // 2)
    shape.tensor("rope_factors_short.weight", head_size // 2)
    for block in range(n_layer):
        shape.weight(block, "attn_norm", n_embd)
        shape.weight(block, "attn_qkv", n_embd, 3 * n_embd, type_id=Q5_K)
        shape.weight(block, "attn_output", n_embd, n_embd, type_id=Q4_K)
        shape.weight(block, "ffn_norm", n_embd)
        shape.weight(block, "ffn_up", n_embd, 2 * n_ff, type_id=Q4_K)
        down = Q6_K if shape.uses_more_bits(block) else Q4_K
        shape.weight(block, "ffn_down", n_ff, n_embd, type_id=down)
    return shape.header()


SHAPES: dict[str, Callable[[], Header]] = {
    "llama-1b": partial(llama, (16, 2048, 8192, 128_256), 32, 8, is_tied=True),
    "llama-8b": partial(llama, (32, 4096, 14_336, 128_256), 32, 8),
    "llama-13b": partial(llama, (40, 5120, 13_824, 32_000), 40, 40, rope_factors=False),
    "llama-70b": partial(llama, (80, 8192, 28_672, 128_256), 64, 8),
    "llama-405b": partial(llama, (126, 16_384, 53_248, 128_256), 128, 8),
    "qwen2-7b": partial(qwen, "qwen2", (28, 3584, 18_944, 152_064), (28, 4, 128)),
    "qwen3-0.6b": partial(qwen, "qwen3", (28, 1024, 3072, 151_936), (16, 8, 128)),
    "qwen3-32b": partial(qwen, "qwen3", (64, 5120, 25_600, 151_936), (64, 8, 128)),
    "gemma2-9b": partial(gemma, "gemma2", (42, 3584, 14_336, 256_000), (16, 8, 256), 4096),
    "gemma3-4b": partial(gemma, "gemma3", (34, 2560, 10_240, 262_208), (8, 4, 256), 1024),
    "gemma3-27b": partial(gemma, "gemma3", (62, 5376, 21_504, 262_208), (32, 16, 128), 1024),
    "phi3-mini": partial(phi3, (32, 3072, 8192, 32_064), 32),
}
