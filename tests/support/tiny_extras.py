"""Writes what goes beside the tiny models: a reranker and LoRA adapters of random weights."""

from __future__ import annotations

import string
from pathlib import Path

import gguf
import numpy as np
from tiny_models import BERT_N_CTX_TRAIN, _add_bert_tensors, _finish, _Weights

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_tiny_reranker(path: Path, *, n_layer: int = 2, n_embd: int = 32) -> Path:
    """Write a model of architecture bert with a classifier on top, that scores pairs of texts."""
    tokens = [*SPECIAL, *(f"\u2581{letter}" for letter in string.ascii_lowercase), *string.ascii_lowercase]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny-reranker")
    writer.add_context_length(BERT_N_CTX_TRAIN)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(n_layer)
    writer.add_feed_forward_length(2 * n_embd)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    kind = gguf.TokenType
    writer.add_token_types([kind.CONTROL if token in SPECIAL else kind.NORMAL for token in tokens])
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    _add_bert_tensors(_Weights(writer, 0.3), len(tokens), n_layer, n_embd)
    _add_classifier(writer, n_embd)
    _finish(writer)
    return path


def _add_classifier(writer: gguf.GGUFWriter, n_embd: int) -> None:
    random = np.random.default_rng(7)
    for name, shape in (("cls", (n_embd, n_embd)), ("cls.output", (1, n_embd))):
        writer.add_tensor(f"{name}.weight", (random.standard_normal(shape) * 0.3).astype(np.float32))
        writer.add_tensor(f"{name}.bias", (random.standard_normal(shape[0]) * 0.3).astype(np.float32))


def write_tiny_lora(
    path: Path,
    *,
    n_embd: int = 64,
    architecture: str = "llama",
    tensor: str = "blk.0.attn_q.weight",
    seed: int = 1,
) -> Path:
    """Write a LoRA adapter of rank 4 for one square matrix of a tiny model."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    random = np.random.default_rng(seed)
    for name, shape in (("lora_a", (4, n_embd)), ("lora_b", (n_embd, 4))):
        writer.add_tensor(f"{tensor}.{name}", random.standard_normal(shape).astype(np.float32))
    _finish(writer)
    return path
