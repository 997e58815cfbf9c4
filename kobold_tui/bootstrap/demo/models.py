"""The made-up models of the demonstration: real GGUF headers in front of weights that are a hole.

So the catalogue, the details and the prediction of memory are the real ones. A file takes some kilobytes of
disk, whatever its length says.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kobold_tui.domain.model import TensorInfo
from kobold_tui.gguf.ggml_types import TENSOR_TYPES
from kobold_tui.gguf.ghost import invent_ghost

F32, Q8_0, Q4_K, Q6_K = 0, 8, 12, 14
FILE_TYPES = {Q4_K: ("Q4_K_M", 15), Q8_0: ("Q8_0", 7)}
"""Name and `general.file_type` (`llama_ftype` in llama.h) of what most weights are."""

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}<assistant>"


class Recipe(NamedTuple):
    """What is needed to make up a model; `n_expert` is 0 for a dense one, `n_ff` the width of one expert."""

    name: str
    architecture: str
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_vocab: int
    n_ctx: int
    type_id: int = Q4_K
    n_expert: int = 0
    is_chat: bool = True

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.name.replace(' ', '-')}-{FILE_TYPES[self.type_id][0]}.gguf"


CHAT = Recipe("Lantern 9B Instruct", "llama", 36, 4096, 32, 8, 14336, 128_256, 131_072)
EMBEDDING = Recipe(
    "Lantern Embed 430M", "bert", 24, 1024, 16, 16, 4096, 30_522, 512, type_id=Q8_0, is_chat=False
)
RECIPES = (
    CHAT,
    Recipe("Lantern 30B A3B Instruct", "qwen3moe", 48, 2048, 32, 4, 768, 151_936, 262_144, n_expert=128),
    Recipe("Harbour 70B Instruct", "llama", 80, 8192, 64, 8, 28672, 128_256, 131_072),
    Recipe("Harbour 4B Base", "llama", 28, 3072, 24, 8, 8192, 128_256, 32_768, is_chat=False),
    EMBEDDING,
)


def make_models(folder: Path) -> None:
    """Write all models into a folder, and one file that was not downloaded to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        ghost = invent_ghost(_metadata(recipe), _tensors(recipe))
        with (folder / recipe.file_name).open("wb") as file:
            file.write(ghost.head)
            file.truncate(ghost.file_bytes)
    (folder / "Harbour-140B-half-a-download.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")


def _metadata(recipe: Recipe) -> dict[str, int | float | str]:
    own: dict[str, int | float | str] = {
        "block_count": recipe.n_layer,
        "embedding_length": recipe.n_embd,
        "context_length": recipe.n_ctx,
        "feed_forward_length": recipe.n_ff,
        "vocab_size": recipe.n_vocab,
        "attention.head_count": recipe.n_head,
        "attention.head_count_kv": recipe.n_head_kv,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    if recipe.n_expert:
        own |= {"expert_count": recipe.n_expert, "expert_used_count": 8}
        own |= {"expert_feed_forward_length": recipe.n_ff}
    if recipe.architecture == "bert":
        own |= {"pooling_type": 1, "attention.layer_norm_epsilon": 1e-12}
    general: dict[str, int | float | str] = {
        "general.architecture": recipe.architecture,
        "general.name": recipe.name,
        "general.file_type": FILE_TYPES[recipe.type_id][1],
        "general.license": "made up for the demonstration",
        "tokenizer.ggml.model": "none",
    }
    if recipe.is_chat:
        general["tokenizer.chat_template"] = TEMPLATE
    return general | {f"{recipe.architecture}.{key}": value for key, value in own.items()}


def _tensors(recipe: Recipe) -> list[TensorInfo]:
    width, kind = recipe.n_embd, recipe.type_id
    head = width // recipe.n_head
    tensors = [_tensor("token_embd", kind, width, recipe.n_vocab), _tensor("output_norm", F32, width)]
    if recipe.architecture != "bert":
        tensors.append(_tensor("output", Q6_K, width, recipe.n_vocab))
    for block in range(recipe.n_layer):
        prefix = f"blk.{block}."
        tensors += [
            _tensor(f"{prefix}attn_norm", F32, width),
            _tensor(f"{prefix}attn_q", kind, width, width),
            _tensor(f"{prefix}attn_k", kind, width, head * recipe.n_head_kv),
            _tensor(f"{prefix}attn_v", kind, width, head * recipe.n_head_kv),
            _tensor(f"{prefix}attn_output", kind, width, width),
            *_feed_forward(recipe, prefix),
        ]
    return tensors


def _feed_forward(recipe: Recipe, prefix: str) -> list[TensorInfo]:
    width, kind, experts = recipe.n_embd, recipe.type_id, (recipe.n_expert,) if recipe.n_expert else ()
    suffix = "_exps" if experts else ""
    parts = [
        _tensor(f"{prefix}ffn_gate{suffix}", kind, width, recipe.n_ff, *experts),
        _tensor(f"{prefix}ffn_up{suffix}", kind, width, recipe.n_ff, *experts),
        _tensor(f"{prefix}ffn_down{suffix}", kind, recipe.n_ff, width, *experts),
        _tensor(f"{prefix}ffn_norm", F32, width),
    ]
    return [*parts, _tensor(f"{prefix}ffn_gate_inp", F32, width, *experts)] if experts else parts


def _tensor(name: str, type_id: int, *dimensions: int) -> TensorInfo:
    kind = TENSOR_TYPES[type_id]
    n_bytes = dimensions[0] // kind.block_size * kind.block_bytes
    for size in dimensions[1:]:
        n_bytes *= size
    return TensorInfo(
        name=f"{name}.weight",
        dimensions=dimensions,
        type_id=type_id,
        type_name=kind.name,
        offset=0,
        n_bytes=n_bytes,
    )
