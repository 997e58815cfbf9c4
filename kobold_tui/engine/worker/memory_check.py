"""Refuses what certainly does not fit into RAM, before llama.cpp asks the kernel for it.

Linux promises more memory than it has and then kills the process without a word; a sentence is better.
"""

from __future__ import annotations

import re
from pathlib import Path

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import CacheType
from kobold_tui.domain.units import format_bytes
from kobold_tui.engine.worker import dry_run, host, load_params
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.weights import Weights

_CACHE_BITS: dict[CacheType, float] = {
    "f32": 32,
    "f16": 16,
    "bf16": 16,
    "q8_0": 8.5,
    "q5_1": 6,
    "q5_0": 5.5,
    "q4_1": 5,
    "q4_0": 4.5,
    "iq4_nl": 4.5,
}
_SHARD = re.compile(r"-00001-of-(\d{5})\.gguf$")


def _file_bytes(path: Path) -> int:
    """Size of the model over all its parts."""
    first = _SHARD.search(path.name)
    parts = [path]
    if first:
        stem = path.name[: first.start()]
        count = int(first.group(1))
        parts = [path.with_name(f"{stem}-{part:05}-of-{count:05}.gguf") for part in range(1, count + 1)]
    return sum(part.stat().st_size for part in parts if part.exists())


def check_weights(spec: LoadSpec) -> None:
    """Raise EngineError for weights that must lie in RAM as a whole and cannot."""
    options = spec.options
    stays_on_disk = options.use_mmap and not options.use_mlock
    if stays_on_disk or load_params.requested_gpu_layers(options) > 0:
        return
    path = Path(spec.path).expanduser()
    needed, available = _file_bytes(path), host.available_memory_bytes()
    if needed > available:
        raise _too_big(f"The weights of {path.name} need", needed, available, "Switch memory-mapping on.")


def _cache_upper_bound_bytes(spec: LoadSpec, weights: Weights) -> float:
    """KV bytes as if every layer kept the whole context; real caches are this large or smaller."""
    options, shape = spec.options, weights.shape(spec)
    heads = max(C.llama_model_n_head_kv(weights.handle), 1)
    default = C.llama_model_n_embd(weights.handle) // max(C.llama_model_n_head(weights.handle), 1)
    key = weights.metadata_int("attention.key_length") or default
    value = weights.metadata_int("attention.value_length") or default
    bits = key * _CACHE_BITS[options.type_k] + value * _CACHE_BITS[options.type_v]
    return float(weights.n_layer * heads * shape.n_ctx * bits / 8)


def check_context(spec: LoadSpec, weights: Weights) -> None:
    """Raise EngineError for a context whose part in RAM cannot be there; a dry run decides in doubt."""
    available = host.available_memory_bytes()
    if weights.encoder_only or _cache_upper_bound_bytes(spec, weights) <= available:
        return
    in_ram = next(device for device in dry_run.measure(spec).devices if device.is_host)
    needed = in_ram.kv_bytes + in_ram.compute_bytes
    if needed > available:
        context = f"A context of {weights.shape(spec).n_ctx:,} tokens for {weights.path.name} needs"
        raise _too_big(context, needed, available, "Choose a smaller context or a quantised KV cache.")


def _too_big(what: str, needed: int, available: int, hint: str) -> EngineError:
    return EngineError(
        "Not enough RAM",
        f"{what} {format_bytes(needed)} of RAM; {format_bytes(available)} are available.",
        hint,
    )
