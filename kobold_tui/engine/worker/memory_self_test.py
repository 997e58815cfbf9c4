"""Finds out at a planner's start whether this build of llama.cpp tells its memory as it is understood here.

A small invented model is placed on the CPU and on two virtual cards. Its weights and its cache are known to
the byte; the size of its graph belongs to llama.cpp's version and has only to be possible.
"""

from __future__ import annotations

import os

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.domain.model import TensorInfo
from kobold_tui.domain.units import GIB, MIB
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard
from kobold_tui.engine.worker import bindings, dry_run, virtual_gpu, virtual_gpu_layout
from kobold_tui.engine.worker.ghost_file import path_of, write_ghost
from kobold_tui.gguf.ghost import Ghost, invent_ghost

_WIDTH, _VOCABULARY, _EXPERTS, _CONTEXT = 256, 1024, 4, 512
_CARDS = tuple(VirtualCard(name=f"CUDA{index}", free_bytes=GIB, total_bytes=GIB) for index in range(2))
_MATRIX_BYTES = 2 * _WIDTH * _WIDTH
_NORM_BYTES = 4 * _WIDTH
_EMBEDDING_BYTES = 2 * _WIDTH * _VOCABULARY
_BLOCK_BYTES = (4 + 3 * _EXPERTS) * _MATRIX_BYTES + 2 * _NORM_BYTES + 4 * _WIDTH * _EXPERTS
_CACHE_BYTES = 2 * 2 * _WIDTH * _CONTEXT
_LARGEST_GRAPH_BYTES = 64 * MIB
_METADATA: dict[str, int | float | str] = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": _CONTEXT,
    "llama.embedding_length": _WIDTH,
    "llama.feed_forward_length": _WIDTH,
    "llama.attention.head_count": 4,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.expert_count": _EXPERTS,
    "llama.expert_used_count": 2,
    "llama.vocab_size": _VOCABULARY,
    "tokenizer.ggml.model": "none",
}


def examine(*, virtual_cards: bool) -> PlannerCapabilities:
    """Try what a planner needs; a build that differs badly can end the process here.

    `virtual_cards` is whether these are tried as well.
    """
    descriptor = write_ghost(_model())
    try:
        if fault := _fault((), descriptor):
            return PlannerCapabilities(breakdown=False, virtual_cards=False, reason=fault)
        if not virtual_cards:
            return PlannerCapabilities(breakdown=True, virtual_cards=False)
        fault = virtual_gpu_layout.check_layout()
        fault = f"This build of llama.cpp takes no virtual cards: {fault}." if fault else ""
        fault = fault or _fault(_CARDS, descriptor)
        return PlannerCapabilities(breakdown=True, virtual_cards=not fault, reason=fault)
    finally:
        os.close(descriptor)


def _model() -> Ghost:
    """Return a mixture of experts of two blocks in f16."""
    matrices: list[tuple[str, tuple[int, ...]]]
    norms: list[tuple[str, tuple[int, ...]]]
    matrices = [("token_embd", (_WIDTH, _VOCABULARY)), ("output", (_WIDTH, _VOCABULARY))]
    norms = [("output_norm", (_WIDTH,))]
    for block in ("blk.0", "blk.1"):
        norms += [(f"{block}.{name}", (_WIDTH,)) for name in ("attn_norm", "ffn_norm")]
        norms.append((f"{block}.ffn_gate_inp", (_WIDTH, _EXPERTS)))
        attention = ("attn_q", "attn_k", "attn_v", "attn_output")
        matrices += [(f"{block}.{name}", (_WIDTH, _WIDTH)) for name in attention]
        experts = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
        matrices += [(f"{block}.{name}", (_WIDTH, _WIDTH, _EXPERTS)) for name in experts]
    rows = [*((*row, 1, "f16", 2) for row in matrices), *((*row, 0, "f32", 4) for row in norms)]
    return invent_ghost(_METADATA, [_tensor(*row) for row in rows])


def _tensor(name: str, shape: tuple[int, ...], type_id: int, type_name: str, width: int) -> TensorInfo:
    n_bytes = width
    for size in shape:
        n_bytes *= size
    return TensorInfo(
        name=f"{name}.weight",
        dimensions=shape,
        type_id=type_id,
        type_name=type_name,
        offset=0,
        n_bytes=n_bytes,
    )


def _fault(cards: tuple[VirtualCard, ...], descriptor: int) -> str:
    """Return what is wrong with the figures on these cards, in words."""
    options = LoadOptions(n_gpu_layers=2, tensor_split=(1.0,) * len(cards), n_ctx=_CONTEXT, n_seq_max=1)
    spec = LoadSpec(path=str(path_of(descriptor)), options=options)
    try:
        with bindings.other_gpus(virtual_gpu.planning_gpus(cards) if cards else ()):
            estimate = dry_run.measure(spec)
    except KoboldError as error:
        return error.message
    return _difference(estimate, _expected(len(cards)))


def _expected(n_cards: int) -> list[tuple[int, int]]:
    """Return weights and cache of host and cards: the last block goes to one card, the output to another."""
    output = _EMBEDDING_BYTES + _NORM_BYTES
    if n_cards == 0:
        return [(_EMBEDDING_BYTES + 2 * _BLOCK_BYTES + output, 2 * _CACHE_BYTES)]
    return [(_EMBEDDING_BYTES + _BLOCK_BYTES, _CACHE_BYTES), (_BLOCK_BYTES, _CACHE_BYTES), (output, 0)]


def _difference(estimate: MemoryEstimate, expected: list[tuple[int, int]]) -> str:
    devices = estimate.devices
    if len(devices) != len(expected):
        return f"This build of llama.cpp counts {len(devices)} devices where there are {len(expected)}."
    for device, known in zip(devices, expected, strict=True):
        counted = (device.weights_bytes, device.kv_bytes)
        if counted != known or not _is_possible(device):
            return (
                f"This build of llama.cpp counts {counted[0]:,} + {counted[1]:,} + {device.compute_bytes:,} "
                f"bytes on {device.name} for a model of {known[0]:,} + {known[1]:,} bytes."
            )
    return ""


def _is_possible(device: DeviceMemory) -> bool:
    return 0 < device.compute_bytes < _LARGEST_GRAPH_BYTES
