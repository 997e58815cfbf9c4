"""What a header says that decides about memory, computed once: sizes of weights, caches, states and graph.

`shape_of` never fails: what a header leaves out or exaggerates makes the shape unsupported, with the reason.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from kobold_tui.domain.memory import architectures
from kobold_tui.domain.memory.fields import MAX_LAYERS, Fields
from kobold_tui.domain.model import Header, TensorInfo

Place = Literal["input", "block", "output", "shared"]

_BLOCK = re.compile(r"blk\.(\d{1,4})\.")
_EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps")
_INPUTS = ("token_embd.", "position_embd.", "token_types.", "per_layer_token_embd.")
_SHARED = ("rope_freqs.", "rope_factors_long.", "rope_factors_short.")
_FIRST_BLOCK = ("token_embd_norm.", "per_layer_model_proj.", "per_layer_proj_norm.")
_OUTPUT_NORM_IS_EMBEDDING_NORM = frozenset({"lfm2", "lfm2moe"})
_PLAIN_TYPES = frozenset({"f32", "f16", "bf16", "f64", "i8", "i16", "i32", "i64"})
_ROW = 512  # MATRIX_ROW_PADDING in ggml-cuda/common.cuh
_MAX_BYTES = 1 << 56
_TOKEN_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


class Weight(msgspec.Struct, frozen=True, array_like=True):
    """A tensor: where it belongs, its bytes, and what CUDA adds so that its last row is whole.

    `place` is by llama.cpp's table of tensors (`LLM_TENSOR_INFOS` in llama-arch.cpp): inputs stay in RAM,
    blocks and output are offloaded, shared ones have a copy wherever there are blocks.
    """

    name: str
    place: Place
    block: int
    n_bytes: int
    row_padding_bytes: int
    is_expert: bool


class Layer(msgspec.Struct, frozen=True, array_like=True):
    """A block: the widths of a token's K and V rows, what it keeps, and the widths inside its graph.

    `kind` numbers blocks that are alike in all of this and in the sizes of their weights. `largest_bytes`
    and `largest_expert_bytes` are of its largest tensors, `two_experts_bytes` of the two largest together.
    """

    kind: int
    k_width: int
    v_width: int
    is_attention: bool
    is_sliding: bool
    is_recurrent: bool
    n_head: int
    n_ff: int
    n_ff_expert: int
    largest_bytes: int
    largest_expert_bytes: int
    two_experts_bytes: int


class ModelShape(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All that the predictor needs to know of a model; the same object is to be used again and again.

    `n_layer` counts all blocks, `kinds` has one block of each kind. `state_sizes` are the numbers that a
    recurrent block keeps for each sequence. Without `supported` only the weights can be predicted, and
    `unsupported_reason` says why.
    """

    architecture: str
    supported: bool
    unsupported_reason: str
    n_layer: int
    n_embd: int
    n_vocab: int
    n_ctx_train: int
    n_expert_used: int
    head_sizes: tuple[int, int]
    window: int
    is_compressed: bool
    is_encoder: bool
    has_logits: bool
    is_tied: bool
    state_sizes: tuple[int, int]
    inner_sizes: tuple[int, int, int, int]
    layers: tuple[Layer, ...]
    kinds: tuple[Layer, ...]
    weights: tuple[Weight, ...]

    @property
    def n_units(self) -> int:
        """What `n_gpu_layers` counts: the blocks and the output."""
        return self.n_layer + 1

    @property
    def widest_value(self) -> int:
        """Width of the widest V row of any layer."""
        return max((layer.v_width for layer in self.kinds), default=0)

    @property
    def has_experts(self) -> bool:
        """Whether experts can be kept in RAM apart from their layers."""
        return any(layer.n_ff_expert for layer in self.kinds)

    @property
    def has_sliding_layers(self) -> bool:
        """Whether a full-size cache for sliding layers would make a difference."""
        return any(layer.is_sliding for layer in self.kinds)


def shape_of(header: Header) -> ModelShape:
    """Return the shape of a model. Never raises: what is missing or absurd makes it unsupported."""
    fields = Fields(header)
    weights = tuple(weight for tensor in header.tensors if (weight := _weight(tensor, fields)))
    names = {weight.name for weight in weights}
    n_head = max(fields.per_layer("attention.head_count"), default=0)
    head_size = fields.n_embd // n_head if n_head else 0
    reason = _unsupported_reason(header, fields)
    layers = _layers(fields, weights, header.tensors)
    return ModelShape(
        architecture=fields.architecture,
        supported=not reason,
        unsupported_reason=reason,
        n_layer=fields.n_layer,
        n_embd=fields.n_embd,
        n_vocab=min(header.n_vocab, 1 << 32) if header.n_vocab > 0 else 0,
        n_ctx_train=fields.integer("context_length"),
        n_expert_used=fields.integer("expert_used_count"),
        head_sizes=(
            fields.integer("attention.key_length", head_size),
            fields.integer("attention.value_length", head_size),
        ),
        window=architectures.sliding_window(fields),
        is_compressed=_is_compressed(fields),
        is_encoder=_is_encoder(header),
        has_logits=fields.architecture not in architectures.WITHOUT_LOGITS,
        is_tied=fields.architecture not in architectures.ENCODERS
        and _TOKEN_EMBEDDING in names
        and _OUTPUT not in names,
        state_sizes=architectures.state_sizes(fields),
        inner_sizes=(
            fields.integer("ssm.inner_size"),
            fields.integer("ssm.state_size"),
            fields.integer("ssm.group_count"),
            fields.integer("ssm.time_step_rank"),
        ),
        layers=layers,
        kinds=tuple({layer.kind: layer for layer in layers}.values()),
        weights=weights,
    )


def _unsupported_reason(header: Header, fields: Fields) -> str:
    if not fields.architecture:
        return "The file does not name its architecture."
    if architectures.has_unknown_cache(fields.architecture):
        return f"The cache of architecture {fields.architecture[:40]!r} is not known here."
    if not fields.n_layer or fields.n_layer < header.n_layer:
        return f"The file does not say a number of layers from 1 to {MAX_LAYERS}."
    if not fields.n_embd:
        return "The file does not say how wide the model is."
    return ""


def _is_encoder(header: Header) -> bool:
    """Whether the worker takes the model for one that only makes vectors (`Weights.encoder_only`)."""
    architecture = header.architecture
    is_causal = header.metadata.get(f"{architecture}.attention.causal")
    named = architecture in {"t5encoder", "gemma-embedding", "llama-embed"}
    return is_causal is False or "bert" in architecture or named


def _is_compressed(fields: Fields) -> bool:
    """Whether K and V are one compressed row (`llama_hparams::is_mla`)."""
    return bool(fields.integer("attention.key_length_mla") and fields.integer("attention.value_length_mla"))


def _weight(tensor: TensorInfo, fields: Fields) -> Weight | None:
    """Return a tensor as a weight, None for one that is never loaded."""
    place, block = _place(tensor.name, fields)
    if place == "block" and not 0 <= block < fields.n_trunk:
        return None
    n_bytes = min(max(tensor.n_bytes, 0), _MAX_BYTES)
    row = tensor.dimensions[0] if tensor.dimensions else 0
    padding = 0
    if tensor.type_name not in _PLAIN_TYPES and row > 0 and row % _ROW:
        padding = (_ROW - row % _ROW) * n_bytes // max(tensor.n_elements, 1)
    return Weight(tensor.name, place, block, n_bytes, padding, bool(_EXPERTS.search(tensor.name)))


def _place(name: str, fields: Fields) -> tuple[Place, int]:
    match = _BLOCK.match(name)
    if match:
        return "block", int(match.group(1))
    if name.startswith(_INPUTS):
        return "input", -1
    if name.startswith(_SHARED):
        return "shared", -1
    if name.startswith(_FIRST_BLOCK) and fields.architecture not in _OUTPUT_NORM_IS_EMBEDDING_NORM:
        return "block", 0
    return "output", -1


def _layers(
    fields: Fields, weights: tuple[Weight, ...], tensors: tuple[TensorInfo, ...]
) -> tuple[Layer, ...]:
    recurrent = architectures.recurrent_layers(fields)
    attention = architectures.attention_layers(fields, recurrent)
    sliding = architectures.sliding_layers(fields)
    heads = fields.per_layer("attention.head_count")
    kv_heads = fields.per_layer("attention.head_count_kv", heads)
    widths = _head_widths(fields, max(heads, default=0))
    inner = _inner_widths(tensors)
    sizes: list[list[int]] = [[] for _ in range(fields.n_layer)]
    experts: list[list[int]] = [[] for _ in range(fields.n_layer)]
    for weight in weights:
        if weight.block >= 0:
            (experts if weight.is_expert else sizes)[weight.block].append(weight.n_bytes)
    kinds: dict[object, int] = {}
    layers = []
    for number in range(fields.n_layer):
        k_size, v_size = widths[sliding[number]]
        caches = kv_heads[number] * attention[number]
        largest_experts = sorted(experts[number], reverse=True)[:2]
        content = (
            k_size * caches,
            0 if _is_compressed(fields) else v_size * caches,
            attention[number],
            sliding[number],
            recurrent[number],
            heads[number],
            *inner.get(number, (0, 0)),
            max(sizes[number], default=0),
            max(experts[number], default=0),
            sum(largest_experts),
        )
        kind = kinds.setdefault((content, tuple(sizes[number]), tuple(experts[number])), len(kinds))
        layers.append(Layer(kind, *content))
    return tuple(layers)


def _head_widths(fields: Fields, n_head: int) -> dict[bool, tuple[int, int]]:
    """Return the sizes of a head's K and V, by whether the layer sees a window only."""
    size = fields.n_embd // n_head if n_head else 0
    k_size = fields.integer("attention.key_length", size) if n_head else 0
    v_size = fields.integer("attention.value_length", size) if n_head else 0
    sliding = (
        fields.integer("attention.key_length_swa", k_size),
        fields.integer("attention.value_length_swa", v_size),
    )
    return {False: (k_size, v_size), True: sliding}


def _inner_widths(tensors: tuple[TensorInfo, ...]) -> dict[int, tuple[int, int]]:
    """Return the widths of each block's feed-forward part and of its experts, from the tensors' own sizes."""
    found: dict[int, tuple[int, int]] = {}
    for tensor in tensors:
        match = _BLOCK.match(tensor.name)
        if match is None or not tensor.dimensions:
            continue
        number, rest = int(match.group(1)), tensor.name[match.end() :]
        dense, expert = found.get(number, (0, 0))
        width = min(max(tensor.dimensions[0], 0), 1 << 32)
        if rest == "ffn_down.weight":
            found[number] = (width, expert)
        elif rest == "ffn_down_exps.weight":
            found[number] = (dense, width)
    return found
