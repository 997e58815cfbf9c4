"""A preset as a document of KoboldCpp 1.117: its keys, its types, its ranges.

What gets lost is not listed by hand: the document is read again, and whatever comes back different is
reported.
"""

from __future__ import annotations

import json
import math
from typing import Any

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import KeyDifference, differences
from kobold_tui.domain.preset_report import ExportedPreset, KeyReport
from kobold_tui.storage.kcpps.adapters import EXPORTED
from kobold_tui.storage.kcpps.document import Document
from kobold_tui.storage.kcpps.export_requests import requests_of
from kobold_tui.storage.kcpps.facts import DEFAULT_BASE, ModelFacts
from kobold_tui.storage.kcpps.importing import import_document
from kobold_tui.storage.kcpps.masking import shown

MIN_CONTEXT, MAX_CONTEXT = 256, 524_288
MIN_BATCH, MAX_BATCH = 16, 4096
MIN_ANSWER, MAX_ANSWER = 64, 32_768
MAX_MOE, MAX_SLOTS, MAX_SHARES, MAX_OVERRIDES, MAX_CUDA_CARD = 200, 32, 16, 16, 3
MAX_SECONDS = 10_000_000
DEFAULT_CONTEXT = 8192
_MIB = 1024 * 1024
_CACHE_TYPES = {"f32": "f16", "q5_0": "q5_1", "q4_1": "q5_1", "iq4_nl": "q4_0"}
_BY_PRECISION = ("q4_0", "q5_1", "q8_0", "bf16", "f16")


def export_preset(preset: Preset, facts: ModelFacts | None = None) -> ExportedPreset:
    """Return the document; `facts` of the model file decide what is automatic here and a number there.

    Raises KoboldError for a preset that KoboldCpp cannot run at all.
    """
    _check(preset)
    document = {
        **_model(preset),
        **_sizes(preset.load, facts),
        **_placement(preset),
        **_attention(preset.load, facts),
        **_attachments(preset.load),
        **_chat(preset),
        "adminunloadtimeout": int(min(preset.memory.idle_unload_seconds or 0, MAX_SECONDS)),
    }
    back = import_document(Document(values=document), preset.name).preset
    lost = tuple(_row(difference) for difference in differences(preset, back))
    return ExportedPreset(document=document, report=lost)


def encode(document: dict[str, Any]) -> bytes:
    """Return the document as KoboldCpp writes it: JSON, indented by 2."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False).encode() + b"\n"


def _check(preset: Preset) -> None:
    if preset.endpoint:
        raise KoboldError(
            "Cannot be exported",
            f"The preset {preset.name!r} names an endpoint, and KoboldCpp runs model files.",
            "Export a preset with a model.",
        )
    if preset.kind == "reranker":
        raise KoboldError(
            "Cannot be exported",
            f"The preset {preset.name!r} is for a reranker, which KoboldCpp does not run.",
            "Export a preset of another kind.",
        )


def _row(difference: KeyDifference) -> KeyReport:
    ours, theirs = difference.left, difference.right
    if difference.key in {"description", "extends"}:
        return KeyReport(key=difference.key, value=shown(ours), status="ignored", note="No such key there.")
    is_lost = theirs is None or theirs == _default(difference.key)
    note = "KoboldCpp has nothing like it." if is_lost else f"It comes back as {_in_words(theirs)}."
    return KeyReport(
        key=difference.key, value=shown(ours), status="unsupported" if is_lost else "approximated", note=note
    )


def _default(key: str) -> Any:
    value: Any = Preset(name="-")
    for part in key.split("."):
        value = getattr(value, part, None)
    return list(value) if isinstance(value, tuple) else value


def _in_words(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{shown(value)}"


def _model(preset: Preset) -> dict[str, Any]:
    load, name = preset.load, preset.model
    if preset.kind != "embedding":
        return {"model": [name] if name else [], "model_param": name or None}
    n_ctx = load.n_ctx if isinstance(load.n_ctx, int) else 4096
    return {
        "model": [],
        "model_param": None,
        "nomodel": True,
        "embeddingsmodel": name,
        "embeddingsmaxctx": n_ctx,
        "embeddingsgpu": load.n_gpu_layers != 0,
    }


def _sizes(load: LoadOptions, facts: ModelFacts | None) -> dict[str, Any]:
    trained = facts.n_ctx_train if facts is not None and facts.n_ctx_train > 0 else DEFAULT_CONTEXT
    n_ctx = min(trained, DEFAULT_CONTEXT) if load.n_ctx == "auto" else load.n_ctx
    batch = _batch_size(load.n_ubatch)
    return {
        "contextsize": min(max(n_ctx, MIN_CONTEXT), MAX_CONTEXT),
        "batchsize": batch,
        "nopipelineparallel": load.n_batch <= abs(batch),
        "threads": -1 if load.n_threads == "auto" else load.n_threads,
        "blasthreads": 0 if load.n_threads_batch == "auto" else load.n_threads_batch,
        "parallelrequests": 1
        if load.n_seq_max == LoadOptions().n_seq_max
        else min(load.n_seq_max, MAX_SLOTS),
        "usemmap": load.use_mmap,
        "usemlock": load.use_mlock,
        "noswa": load.swa_full,
    }


def _batch_size(n_ubatch: int) -> int:
    """Return the largest of KoboldCpp's sizes that is not above; -1 is a batch of one."""
    return -1 if n_ubatch == 1 else min(max(1 << (n_ubatch.bit_length() - 1), MIN_BATCH), MAX_BATCH)


def _placement(preset: Preset) -> dict[str, Any]:
    load, reserve = preset.load, preset.memory.reserve_bytes
    alone = load.split_mode == "none" and load.main_gpu <= MAX_CUDA_CARD
    shares = () if load.split_mode == "none" else load.tensor_split[:MAX_SHARES]
    shares = tuple(share for share in shares if math.isfinite(share))
    overrides = ",".join(pair for pair in load.override_tensors if "," not in pair)
    placed = bool(shares or overrides or load.n_cpu_moe)
    fitted = load.n_gpu_layers == "auto" and not placed and reserve != type(preset.memory)().reserve_bytes
    on_cpu = load.is_cpu_only
    return {
        "usecuda": [f"{load.main_gpu}"] if alone and not on_cpu else None,
        "usevulkan": None,
        "usecpu": on_cpu,
        "gpulayers": 0 if on_cpu else -1 if load.n_gpu_layers == "auto" else load.n_gpu_layers,
        "autofit": fitted,
        "autofitpadding": reserve // _MIB if fitted else 1024,
        "tensor_split": list(shares) if any(shares) else None,
        "splitmode": "tensor" if load.split_mode == "tensor" else "layer",
        "maingpu": load.main_gpu if load.main_gpu and not alone else -1,
        "device": "" if on_cpu else ",".join(name for name in load.devices if "," not in name),
        "lowvram": not load.offload_kqv,
        "moecpu": min(load.n_cpu_moe, MAX_MOE),
        "overridetensors": overrides,
        "overridekv": _overrides(load),
    }


def _overrides(load: LoadOptions) -> str:
    """Return GGUF keys as `name=type:value,…`; what has a comma in it cannot be written."""
    pairs = [_override(name, value) for name, value in load.override_kv.items()]
    return ",".join([pair for pair in pairs if pair and "," not in pair][:MAX_OVERRIDES])


def _override(name: str, value: bool | int | float | str) -> str:
    if not name.strip() or set(name) & set("=:"):
        return ""
    match value:
        case bool():
            return f"{name}=bool:{'true' if value else 'false'}"
        case int():
            return f"{name}=int:{value}"
        case float():
            return f"{name}=float:{value!r}" if math.isfinite(value) else ""
        case _:
            return f"{name}=str:{value}"


def _attention(load: LoadOptions, facts: ModelFacts | None) -> dict[str, Any]:
    is_off = load.flash_attn is False
    types = [_CACHE_TYPES.get(name, name) for name in (load.type_k, load.type_v)]
    type_k = types[0] if is_off else max(types, key=_BY_PRECISION.index)
    document: dict[str, Any] = {"noflashattention": is_off, "quantkv": type_k}
    scale, base = load.rope_freq_scale, load.rope_freq_base
    if (scale or base) and math.isfinite(scale) and math.isfinite(base):
        usual = facts.rope_freq_base if facts is not None else DEFAULT_BASE
        document["ropeconfig"] = [scale or 1.0, base or usual]
    else:
        document["ropeconfig"] = [0.0, 10_000.0]
    return document


def _attachments(load: LoadOptions) -> dict[str, Any]:
    first = load.lora[0] if load.lora else None
    return {
        "lora": [first.path] if first else None,
        "loramult": first.scale if first and math.isfinite(first.scale) else 1.0,
        "mmproj": load.mmproj,
        "mmprojcpu": bool(load.mmproj) and not load.mmproj_offload,
    }


def _chat(preset: Preset) -> dict[str, Any]:
    chat = preset.chat
    adapter = EXPORTED.get(chat.template)
    file = chat.template if chat.template.endswith(".jinja") else ""
    options = {
        name: value
        for name, value in chat.template_options.items()
        if not isinstance(value, float) or math.isfinite(value)
    }
    requests = requests_of(preset.sampling, chat)
    if not MIN_ANSWER <= chat.max_tokens <= MAX_ANSWER:
        requests["max_length"] = chat.max_tokens
    return {
        "chatcompletionsadapter": adapter or "AutoGuess",
        "jinja": adapter is None,
        "jinjatemplate": file,
        "jinja_kwargs": json.dumps(options) if options and adapter is None else "",
        "defaultgenamt": min(max(chat.max_tokens, MIN_ANSWER), MAX_ANSWER),
        "gendefaults": requests or "",
    }
