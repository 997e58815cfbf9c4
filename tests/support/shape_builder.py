"""Puts together what a model's file says about itself: metadata and a table of tensors, without weights."""

from __future__ import annotations

from kobold_tui.domain.model import Header, MetadataValue, TensorInfo
from kobold_tui.gguf.ggml_types import TENSOR_TYPES

ALIGNMENT = 32
F32, F16, Q8_0, Q4_K, Q5_K, Q6_K, MXFP4 = 0, 1, 8, 12, 13, 14, 39


class ShapeBuilder:
    """Collects what a model's file says about itself; `n_layer`, `n_embd` are those of its header."""

    def __init__(self, architecture: str, n_layer: int, n_embd: int, n_vocab: int) -> None:
        self.n_layer, self.n_embd, self.n_vocab = n_layer, n_embd, n_vocab
        self._architecture = architecture
        self._metadata: dict[str, MetadataValue] = {"general.architecture": architecture}
        self._tensors: list[TensorInfo] = []
        self._offset = 0
        self.set(block_count=n_layer, embedding_length=n_embd, context_length=131_072, vocab_size=n_vocab)
        self._metadata["tokenizer.ggml.model"] = "none"

    def set(self, **values: MetadataValue) -> None:
        """Set metadata of the architecture; two underscores stand for a dot."""
        for key, value in values.items():
            self._metadata[f"{self._architecture}.{key.replace('__', '.')}"] = value

    def set_token_types(self, count: int) -> None:
        """Set the number of token types, which stands beside the vocabulary."""
        self._metadata["tokenizer.ggml.token_type_count"] = count

    def heads(self, n_head: int, n_head_kv: int, head_size: int = 0) -> None:
        """Set the attention heads; without a size it follows from the width."""
        self.set(attention__head_count=n_head, attention__head_count_kv=n_head_kv)
        if head_size:
            self.set(attention__key_length=head_size, attention__value_length=head_size)

    def tensor(self, name: str, *dimensions: int, type_id: int = F32) -> None:
        """Add a tensor; a row that is not whole blocks gets a type with smaller ones, as quantisers do."""
        kind = TENSOR_TYPES[type_id]
        if dimensions[0] % kind.block_size:
            type_id = Q8_0 if dimensions[0] % 32 == 0 else F16
            kind = TENSOR_TYPES[type_id]
        n_bytes = dimensions[0] // kind.block_size * kind.block_bytes
        for size in dimensions[1:]:
            n_bytes *= size
        self._tensors.append(
            TensorInfo(
                name=name,
                dimensions=dimensions,
                type_id=type_id,
                type_name=kind.name,
                offset=self._offset,
                n_bytes=n_bytes,
            )
        )
        self._offset += -(-n_bytes // ALIGNMENT) * ALIGNMENT

    def weight(self, block: int, name: str, *dimensions: int, type_id: int = F32) -> None:
        """Add a weight of a block."""
        self.tensor(f"blk.{block}.{name}.weight", *dimensions, type_id=type_id)

    def bias(self, block: int, name: str, *dimensions: int) -> None:
        """Add a bias of a block."""
        self.tensor(f"blk.{block}.{name}.bias", *dimensions)

    def uses_more_bits(self, block: int) -> bool:
        """Whether llama-quantize gives a block's most sensitive weights a larger type."""
        eighth = self.n_layer // 8
        return block < eighth or block >= 7 * eighth or (block - eighth) % 3 == 2

    def header(self) -> Header:
        """Return the finished header."""
        self.set(attention__layer_norm_rms_epsilon=1e-5)
        return Header(
            paths=(f"{self._architecture}.gguf",),
            version=3,
            file_bytes=self._offset,
            data_offset=0,
            alignment=ALIGNMENT,
            metadata=dict(self._metadata),
            tensors=tuple(self._tensors),
        )


def embedding(shape: ShapeBuilder, *, is_tied: bool = False, type_id: int = Q4_K, output: int = Q6_K) -> None:
    """Add the token embedding and the output; tied, they are one tensor."""
    shape.tensor("token_embd.weight", shape.n_embd, shape.n_vocab, type_id=output if is_tied else type_id)
    shape.tensor("output_norm.weight", shape.n_embd)
    if not is_tied:
        shape.tensor("output.weight", shape.n_embd, shape.n_vocab, type_id=output)


def attention(
    shape: ShapeBuilder,
    block: int,
    heads: tuple[int, int, int],
    *,
    query_factor: int = 1,
    type_id: int = Q4_K,
    norms: bool = False,
    biases: bool = False,
) -> None:
    """Add attention with (query heads, KV heads, head size)."""
    n_head, n_head_kv, size = heads
    value = Q6_K if shape.uses_more_bits(block) and type_id == Q4_K else type_id
    shape.weight(block, "attn_norm", shape.n_embd)
    shape.weight(block, "attn_q", shape.n_embd, n_head * size * query_factor, type_id=type_id)
    shape.weight(block, "attn_k", shape.n_embd, n_head_kv * size, type_id=type_id)
    shape.weight(block, "attn_v", shape.n_embd, n_head_kv * size, type_id=value)
    shape.weight(block, "attn_output", n_head * size, shape.n_embd, type_id=type_id)
    if biases:
        shape.bias(block, "attn_q", n_head * size)
        shape.bias(block, "attn_k", n_head_kv * size)
        shape.bias(block, "attn_v", n_head_kv * size)
    if norms:
        shape.weight(block, "attn_q_norm", size)
        shape.weight(block, "attn_k_norm", size)


def feed_forward(shape: ShapeBuilder, block: int, n_ff: int, type_id: int = Q4_K) -> None:
    """Add a gated feed-forward part."""
    down = Q6_K if shape.uses_more_bits(block) and type_id == Q4_K else type_id
    shape.weight(block, "ffn_norm", shape.n_embd)
    shape.weight(block, "ffn_gate", shape.n_embd, n_ff, type_id=type_id)
    shape.weight(block, "ffn_up", shape.n_embd, n_ff, type_id=type_id)
    shape.weight(block, "ffn_down", n_ff, shape.n_embd, type_id=down)


def experts(
    shape: ShapeBuilder,
    block: int,
    sizes: tuple[int, int],
    *,
    n_shared: int = 0,
    type_id: int = Q4_K,
    norm: str = "ffn_norm",
) -> None:
    """Add (number, width) of experts and `n_shared` as the width of the shared one."""
    n_expert, n_ff = sizes
    n_embd = shape.n_embd
    down = Q6_K if shape.uses_more_bits(block) and type_id == Q4_K else type_id
    if norm:
        shape.weight(block, norm, n_embd)
    shape.weight(block, "ffn_gate_inp", n_embd, n_expert)
    shape.weight(block, "ffn_gate_exps", n_embd, n_ff, n_expert, type_id=type_id)
    shape.weight(block, "ffn_up_exps", n_embd, n_ff, n_expert, type_id=type_id)
    shape.weight(block, "ffn_down_exps", n_ff, n_embd, n_expert, type_id=down)
    if n_shared:
        shape.weight(block, "ffn_gate_shexp", n_embd, n_shared, type_id=type_id)
        shape.weight(block, "ffn_up_shexp", n_embd, n_shared, type_id=type_id)
        shape.weight(block, "ffn_down_shexp", n_shared, n_embd, type_id=type_id)


def set_experts(shape: ShapeBuilder, n_expert: int, n_used: int, n_ff: int) -> None:
    """Set the metadata of experts."""
    shape.set(expert_count=n_expert, expert_used_count=n_used, expert_feed_forward_length=n_ff)
