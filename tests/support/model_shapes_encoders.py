"""Headers of models that turn text into vectors and keep no cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shape_builder import F16, Q8_0, ShapeBuilder, attention, embedding, feed_forward

from kobold_tui.domain.model import Header

Sizes = tuple[int, int, int, int]
"""Blocks, width, width of the feed-forward part, tokens."""


def bert(architecture: str, sizes: Sizes, n_head: int, n_ctx: int, *, is_gated: bool = False) -> Header:
    """Return an encoder of the older kind: norms after each part, biases, types of tokens."""
    n_layer, width, n_ff, n_vocab = sizes
    shape = _encoder(architecture, n_layer, width, n_vocab, n_ctx)
    shape.set(attention__head_count=n_head, feed_forward_length=n_ff)
    shape.set(attention__layer_norm_epsilon=1e-12, pooling_type=1)
    shape.set_token_types(2)
    shape.tensor("token_types.weight", width, 2)
    if architecture == "bert":
        shape.tensor("position_embd.weight", width, n_ctx)
    shape.tensor("token_embd_norm.weight", width)
    shape.tensor("token_embd_norm.bias", width)
    for block in range(n_layer):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shape.weight(block, name, width, width, type_id=F16)
            if not is_gated or name == "attn_output":
                shape.bias(block, name, width)
        for name in ("attn_output_norm", "layer_output_norm"):
            shape.weight(block, name, width)
            shape.bias(block, name, width)
        shape.weight(block, "ffn_up", width, n_ff, type_id=F16)
        shape.weight(block, "ffn_down", n_ff, width, type_id=F16)
        if is_gated:
            shape.weight(block, "ffn_gate", width, n_ff, type_id=F16)
        else:
            shape.bias(block, "ffn_up", n_ff)
        shape.bias(block, "ffn_down", width)
    return shape.header()


def modern_bert(sizes: Sizes, n_head: int) -> Header:
    """Return a model of architecture modern-bert: two of three layers see a window."""
    n_layer, width, n_ff, n_vocab = sizes
    shape = _encoder("modern-bert", n_layer, width, n_vocab, 8192)
    shape.set(attention__head_count=n_head, feed_forward_length=n_ff, attention__sliding_window=128)
    shape.set(attention__layer_norm_epsilon=1e-5, pooling_type=1)
    shape.tensor("token_embd_norm.weight", width)
    shape.tensor("output_norm.weight", width)
    for block in range(n_layer):
        if block:
            shape.weight(block, "attn_norm", width)
        shape.weight(block, "attn_qkv", width, 3 * width, type_id=F16)
        shape.weight(block, "attn_output", width, width, type_id=F16)
        shape.weight(block, "ffn_norm", width)
        shape.weight(block, "ffn_up", width, 2 * n_ff, type_id=F16)
        shape.weight(block, "ffn_down", n_ff, width, type_id=F16)
    return shape.header()


def euro_bert(sizes: Sizes, heads: tuple[int, int, int]) -> Header:
    """Return a model of architecture eurobert: an encoder built like a llama."""
    n_layer, width, n_ff, n_vocab = sizes
    shape = _encoder("eurobert", n_layer, width, n_vocab, 8192)
    shape.heads(*heads)
    shape.set(feed_forward_length=n_ff, pooling_type=1)
    shape.tensor("output_norm.weight", width)
    for block in range(n_layer):
        attention(shape, block, heads, type_id=Q8_0)
        feed_forward(shape, block, n_ff, type_id=Q8_0)
    return shape.header()


def embedding_gemma(sizes: Sizes, heads: tuple[int, int, int]) -> Header:
    """Return a model of architecture gemma-embedding, which has an output it does not need."""
    n_layer, width, n_ff, n_vocab = sizes
    shape = ShapeBuilder("gemma-embedding", n_layer, width, n_vocab)
    shape.heads(*heads)
    shape.set(context_length=2048, feed_forward_length=n_ff, attention__sliding_window=512, pooling_type=1)
    shape.set(attention__causal=False)
    embedding(shape, is_tied=True, output=Q8_0)
    for block in range(n_layer):
        attention(shape, block, heads, type_id=Q8_0, norms=True)
        feed_forward(shape, block, n_ff, type_id=Q8_0)
        shape.weight(block, "post_attention_norm", width)
        shape.weight(block, "post_ffw_norm", width)
    return shape.header()


def _encoder(architecture: str, n_layer: int, width: int, n_vocab: int, n_ctx: int) -> ShapeBuilder:
    shape = ShapeBuilder(architecture, n_layer, width, n_vocab)
    shape.set(context_length=n_ctx, attention__causal=False)
    shape.tensor("token_embd.weight", width, n_vocab, type_id=F16)
    return shape


SHAPES: dict[str, Callable[[], Header]] = {
    "minilm-l6": partial(bert, "bert", (6, 384, 1536, 30_522), 12, 512),
    "bge-large": partial(bert, "bert", (24, 1024, 4096, 30_522), 16, 512),
    "nomic-embed": partial(bert, "nomic-bert", (12, 768, 3072, 30_528), 12, 2048, is_gated=True),
    "jina-v2-base": partial(bert, "jina-bert-v2", (12, 768, 3072, 30_528), 12, 8192, is_gated=True),
    "modern-bert-base": partial(modern_bert, (22, 768, 1152, 50_368), 12),
    "eurobert-210m": partial(euro_bert, (12, 768, 3072, 128_256), (12, 12, 64)),
    "embedding-gemma": partial(embedding_gemma, (24, 768, 1152, 262_144), (3, 1, 256)),
}
