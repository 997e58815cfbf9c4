"""The sizes of a context after every "auto" has been decided: what the worker asks llama.cpp for.

The decisions are those of `context_shape` in the worker, then those of llama_context's constructor
(llama-context.cpp) and of the caches (llama-kv-cache-iswa.cpp).
"""

from __future__ import annotations

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory.shape import ModelShape

DEFAULT_MAX_CTX = 8192
EMBEDDING_SEQUENCES = 64
_PADDING = 256
_HEADS = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
_GROUPED_HEADS = {192: (128, 8), 320: (256, 32), 512: (512, 1), 576: (512, 1)}


class ContextSizes(msgspec.Struct, frozen=True, kw_only=True):
    """Cells of the cache for one stream, sequences, and tokens and rows of logits of one graph.

    `cache_types` are those of K and V, `is_cache_offloaded` is whether cards keep their layers' part.
    `has_flash_cache` is the layout of the cache, `has_flash_graph` how attention is computed: an "auto" that
    ends without flash attention keeps the cache that was laid out for it.
    """

    n_cells: int
    n_sliding_cells: int
    n_streams: int
    n_sequences: int
    n_tokens: int
    n_outputs: int
    cache_types: tuple[str, str]
    is_cache_offloaded: bool
    has_flash_cache: bool
    has_flash_graph: bool
    makes_vectors: bool


def context_sizes(
    shape: ModelShape, options: LoadOptions, *, embedding: bool = False, has_cards: bool = True
) -> ContextSizes:
    """Return the sizes of a context; `embedding` is a load for vectors alone (`LoadSpec.embedding`)."""
    vectors = embedding or shape.is_encoder
    n_ctx = min(shape.n_ctx_train, DEFAULT_MAX_CTX) if options.n_ctx == "auto" else options.n_ctx
    if vectors:
        n_batch = max(min(options.n_ubatch, shape.n_ctx_train), 1) if shape.is_encoder else options.n_ubatch
        n_ctx, n_ubatch, n_outputs = max(n_ctx, n_batch), n_batch, 0
        recurrent = any(layer.is_recurrent for layer in shape.kinds)
        n_seq = options.n_seq_max if recurrent else EMBEDDING_SEQUENCES
    else:
        n_seq = options.n_seq_max
        n_batch = max(options.n_batch, n_seq)
        n_ubatch = max(min(options.n_batch, options.n_ubatch), n_seq)
        n_outputs = (
            n_seq * (1 + options.n_draft) if options.n_outputs_max == "auto" else options.n_outputs_max
        )
    n_ctx = max(n_ctx, 1)
    n_batch = min(n_ctx, n_batch)
    n_ubatch = min(n_batch, n_ubatch)
    is_unified = vectors or options.kv_unified
    n_cells = _padded(_padded(n_ctx) // (1 if is_unified else n_seq))
    n_streams = 1 if is_unified else n_seq
    sliding = _padded(min(n_cells, shape.window * (n_seq if is_unified else 1) + n_ubatch))
    n_tokens = -(-min(n_cells * n_streams, n_ubatch) // n_seq) * n_seq
    return ContextSizes(
        n_cells=n_cells,
        n_sliding_cells=n_cells if options.swa_full else sliding,
        n_streams=n_streams,
        n_sequences=n_seq,
        n_tokens=n_tokens,
        n_outputs=min(n_tokens, n_outputs or n_batch),
        cache_types=(options.type_k, options.type_v),
        is_cache_offloaded=options.offload_kqv,
        has_flash_cache=options.flash_attn is not False,
        has_flash_graph=_has_flash_graph(shape, options, has_cards=has_cards),
        makes_vectors=vectors,
    )


def _has_flash_graph(shape: ModelShape, options: LoadOptions, *, has_cards: bool) -> bool:
    """Whether flash attention is used: "auto" asks the cards (`ggml_cuda_get_best_fattn_kernel`)."""
    if options.flash_attn != "auto" or not has_cards:
        return options.flash_attn is not False
    attention = [layer for layer in shape.kinds if layer.is_attention]
    return all(_has_kernel(shape, layer.n_head, layer.k_width) for layer in attention)


def _has_kernel(shape: ModelShape, n_head: int, k_width: int) -> bool:
    k_size, v_size = shape.head_sizes
    if k_size in _HEADS:
        return v_size == k_size
    if k_size not in _GROUPED_HEADS:
        return False
    of_value, multiple = _GROUPED_HEADS[k_size]
    ratio = n_head // max(k_width // max(k_size, 1), 1)
    return v_size == of_value and ratio >= 2 and ratio % multiple == 0


def _padded(n_cells: int) -> int:
    return -(-n_cells // _PADDING) * _PADDING
