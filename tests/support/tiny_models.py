"""Writes GGUF models of random weights, under a megabyte each, that llama.cpp really loads.

The weights come from a fixed seed, so that a model is the same file every time. Byte tokens have no output
weight: what the generative models write is made of letters and words.
"""

from __future__ import annotations

import itertools
import string
from pathlib import Path
from typing import Any

import gguf
import numpy as np

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
N_CTX_TRAIN = 2048
BERT_N_CTX_TRAIN = 128
_N_BYTE_TOKENS = 256
_FIRST_WORD = 3 + _N_BYTE_TOKENS


class _Weights:
    """Adds tensors of random numbers to a file."""

    def __init__(self, writer: gguf.GGUFWriter, scale: float) -> None:
        self._writer = writer
        self._scale = scale
        self._random = np.random.default_rng(0)

    def matrix(self, name: str, *shape: int, silent_rows: int = 0) -> None:
        values = (self._random.standard_normal(shape) * self._scale).astype(np.float32)
        values[:silent_rows] = 0
        self._writer.add_tensor(f"{name}.weight", values)

    def ones(self, name: str, size: int) -> None:
        self._writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))

    def zeros(self, name: str, size: int) -> None:
        self._writer.add_tensor(f"{name}.bias", np.zeros(size, np.float32))


def _words() -> Any:
    """Yield pieces: the space, letters, letters after a space, then longer ones, alternating."""
    yield "\u2581"
    yield from string.ascii_lowercase
    yield from (f"\u2581{letter}" for letter in string.ascii_lowercase)
    longer = itertools.chain.from_iterable(
        itertools.product(string.ascii_lowercase, repeat=size) for size in (2, 3, 4)
    )
    for number, letters in enumerate(longer):
        word = "".join(letters)
        yield f"\u2581{word}" if number % 2 else word


def _add_vocabulary(writer: gguf.GGUFWriter, n_vocab: int, chat_template: bool | str) -> None:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(_N_BYTE_TOKENS))]
    tokens += itertools.islice(_words(), n_vocab - len(tokens))
    kind = gguf.TokenType
    types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * _N_BYTE_TOKENS]
    types += [kind.NORMAL] * (n_vocab - len(types))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(n_vocab)])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if chat_template:
        writer.add_chat_template(CHAT_TEMPLATE if chat_template is True else chat_template)


def _add_sizes(writer: gguf.GGUFWriter, n_layer: int, n_embd: int, n_head: int, n_ff: int) -> None:
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(n_layer)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(n_head)
    writer.add_head_count_kv(n_head)
    writer.add_layer_norm_rms_eps(1e-5)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_attention(weights: _Weights, block: str, n_embd: int) -> None:
    weights.ones(f"{block}.attn_norm", n_embd)
    weights.ones(f"{block}.ffn_norm", n_embd)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights.matrix(f"{block}.{name}", n_embd, n_embd)


def _add_feed_forward(weights: _Weights, block: str, n_embd: int, n_ff: int) -> None:
    weights.matrix(f"{block}.ffn_gate", n_ff, n_embd)
    weights.matrix(f"{block}.ffn_up", n_ff, n_embd)
    weights.matrix(f"{block}.ffn_down", n_embd, n_ff)


def write_tiny_llama(
    path: Path,
    *,
    chat_template: bool | str = True,
    n_layer: int = 2,
    n_embd: int = 64,
    n_vocab: int = 512,
) -> Path:
    """Write a chat model of architecture llama; `chat_template` can be the text of one."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-llama")
    _add_sizes(writer, n_layer, n_embd, n_embd // 16, 2 * n_embd)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(n_vocab)
    _add_vocabulary(writer, n_vocab, chat_template)
    weights = _Weights(writer, 0.2)
    weights.matrix("token_embd", n_vocab, n_embd)
    weights.ones("output_norm", n_embd)
    weights.matrix("output", n_vocab, n_embd, silent_rows=_FIRST_WORD)
    for layer in range(n_layer):
        _add_attention(weights, f"blk.{layer}", n_embd)
        _add_feed_forward(weights, f"blk.{layer}", n_embd, 2 * n_embd)
    _finish(writer)
    return path


def write_tiny_moe(path: Path, *, n_layer: int = 2, n_embd: int = 32, n_expert: int = 4) -> Path:
    """Write a mixture of experts: architecture llama with `n_expert` experts, two of them used."""
    n_vocab, n_ff = 512, 2 * n_embd
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-moe")
    _add_sizes(writer, n_layer, n_embd, n_embd // 16, n_ff)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(n_vocab)
    writer.add_expert_count(n_expert)
    writer.add_expert_used_count(2)
    _add_vocabulary(writer, n_vocab, chat_template=True)
    weights = _Weights(writer, 0.2)
    weights.matrix("token_embd", n_vocab, n_embd)
    weights.ones("output_norm", n_embd)
    weights.matrix("output", n_vocab, n_embd, silent_rows=_FIRST_WORD)
    for layer in range(n_layer):
        block = f"blk.{layer}"
        _add_attention(weights, block, n_embd)
        weights.matrix(f"{block}.ffn_gate_inp", n_expert, n_embd)
        weights.matrix(f"{block}.ffn_gate_exps", n_expert, n_ff, n_embd)
        weights.matrix(f"{block}.ffn_up_exps", n_expert, n_ff, n_embd)
        weights.matrix(f"{block}.ffn_down_exps", n_expert, n_embd, n_ff)
    _finish(writer)
    return path


def write_tiny_swa(path: Path, *, n_layer: int = 6, n_embd: int = 32, window: int = 16) -> Path:
    """Write a model of architecture gemma3: all but every sixth layer see only `window` tokens back."""
    n_vocab, n_ff = 512, 2 * n_embd
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_name("tiny-swa")
    _add_sizes(writer, n_layer, n_embd, n_embd // 16, n_ff)
    writer.add_key_length(16)
    writer.add_value_length(16)
    writer.add_sliding_window(window)
    writer.add_vocab_size(n_vocab)
    _add_vocabulary(writer, n_vocab, chat_template=True)
    weights = _Weights(writer, 0.2)
    weights.matrix("token_embd", n_vocab, n_embd)
    weights.ones("output_norm", n_embd)
    weights.matrix("output", n_vocab, n_embd, silent_rows=_FIRST_WORD)
    for layer in range(n_layer):
        block = f"blk.{layer}"
        _add_attention(weights, block, n_embd)
        _add_feed_forward(weights, block, n_embd, n_ff)
        for name in ("post_attention_norm", "post_ffw_norm"):
            weights.ones(f"{block}.{name}", n_embd)
        for name in ("attn_q_norm", "attn_k_norm"):
            weights.ones(f"{block}.{name}", 16)
    _finish(writer)
    return path


def write_tiny_mamba(path: Path, *, n_layer: int = 2, n_embd: int = 32) -> Path:
    """Write a recurrent model of architecture mamba, whose state cannot be cut."""
    n_vocab, n_inner, n_state, rank = 512, 2 * n_embd, 8, 4
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_name("tiny-mamba")
    _add_sizes(writer, n_layer, n_embd, 0, 0)
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(n_inner)
    writer.add_ssm_state_size(n_state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_vocab_size(n_vocab)
    _add_vocabulary(writer, n_vocab, chat_template=True)
    weights = _Weights(writer, 0.2)
    weights.matrix("token_embd", n_vocab, n_embd)
    weights.ones("output_norm", n_embd)
    weights.matrix("output", n_vocab, n_embd, silent_rows=_FIRST_WORD)
    for layer in range(n_layer):
        block = f"blk.{layer}"
        weights.ones(f"{block}.attn_norm", n_embd)
        weights.matrix(f"{block}.ssm_in", 2 * n_inner, n_embd)
        weights.matrix(f"{block}.ssm_conv1d", n_inner, 4)
        weights.zeros(f"{block}.ssm_conv1d", n_inner)
        weights.matrix(f"{block}.ssm_x", rank + 2 * n_state, n_inner)
        weights.matrix(f"{block}.ssm_dt", n_inner, rank)
        weights.zeros(f"{block}.ssm_dt", n_inner)
        weights.matrix(f"{block}.ssm_out", n_embd, n_inner)
        writer.add_tensor(f"{block}.ssm_a", -np.ones((n_inner, n_state), np.float32))
        writer.add_tensor(f"{block}.ssm_d", np.ones(n_inner, np.float32))
    _finish(writer)
    return path


def write_tiny_bert(path: Path, *, n_layer: int = 2, n_embd: int = 32) -> Path:
    """Write an embedding model of architecture bert with mean pooling and room for 128 tokens."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [f"\u2581{letter}" for letter in string.ascii_lowercase]
    tokens = [*special, *letters, *string.ascii_lowercase]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny-bert")
    writer.add_context_length(BERT_N_CTX_TRAIN)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(n_layer)
    writer.add_feed_forward_length(2 * n_embd)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    kind = gguf.TokenType
    writer.add_token_types([kind.CONTROL if token in special else kind.NORMAL for token in tokens])
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_mask_token_id(4)
    _add_bert_tensors(_Weights(writer, 0.3), len(tokens), n_layer, n_embd)
    _finish(writer)
    return path


def _add_bert_tensors(weights: _Weights, n_vocab: int, n_layer: int, n_embd: int) -> None:
    weights.matrix("token_embd", n_vocab, n_embd)
    weights.matrix("position_embd", BERT_N_CTX_TRAIN, n_embd)
    weights.matrix("token_types", 2, n_embd)
    weights.ones("token_embd_norm", n_embd)
    weights.zeros("token_embd_norm", n_embd)
    for layer in range(n_layer):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.matrix(f"{block}.{name}", n_embd, n_embd)
            weights.zeros(f"{block}.{name}", n_embd)
        for name in ("attn_output_norm", "layer_output_norm"):
            weights.ones(f"{block}.{name}", n_embd)
            weights.zeros(f"{block}.{name}", n_embd)
        weights.matrix(f"{block}.ffn_up", 2 * n_embd, n_embd)
        weights.zeros(f"{block}.ffn_up", 2 * n_embd)
        weights.matrix(f"{block}.ffn_down", n_embd, 2 * n_embd)
        weights.zeros(f"{block}.ffn_down", n_embd)
