"""The keys of KoboldCpp that become settings of a preset, and those that are read together with them."""

from __future__ import annotations

from typing import Any

from kobold_tui.domain.preset_report import KeyStatus
from kobold_tui.storage.kcpps.rule import Rule

_USUAL: dict[str, tuple[Any, ...]] = {"moeexperts": (-1,), "maingpu": (-1,), "loramult": (1.0,)}


def _taken(key: str, setting: str, note: str = "", fate: KeyStatus = "mapped") -> Rule:
    return Rule(key, fate, setting, note, _USUAL.get(key, ()), by_code=True)


MODEL = (
    _taken("model", "model", "Used where `model_param` is empty; further entries are parts to download."),
    _taken("model_param", "model", "What is really loaded. An address becomes a download offer."),
    _taken("nomodel", "kind", "Without a text model the preset is one for embeddings, or a recipe."),
    _taken("lora", "load.lora", "The first adapter; a second entry is a base file of former days."),
    _taken("loramult", "load.lora", "The factor of the adapter."),
    _taken("mmproj", "load.mmproj", "An address becomes a download offer."),
    _taken("mmprojcpu", "load.mmproj_offload", "The opposite."),
    _taken("embeddingsmodel", "model", "Becomes a second preset, of the kind embedding.", "approximated"),
    _taken("embeddingsmaxctx", "load.n_ctx", "Of the preset for embeddings; 0 is the text model's context."),
    _taken("embeddingsgpu", "load.n_gpu_layers", "Of the preset for embeddings: all layers or none."),
)

CONTEXT = (
    _taken("contextsize", "load.n_ctx"),
    _taken("batchsize", "load.n_ubatch", "-1 is 1. `n_batch` is twice as much, see `nopipelineparallel`."),
    _taken("blasbatchsize", "load.n_ubatch", "Former name of `batchsize`, read where that is missing."),
    _taken("nopipelineparallel", "load.n_batch", "`n_batch` is `n_ubatch` instead of twice as much."),
    _taken("threads", "load.n_threads", "0 or less is auto."),
    _taken("blasthreads", "load.n_threads_batch", "0 or null is as many as for generation."),
    _taken("usemmap", "load.use_mmap", "Off where neither this nor `nommap` is in the file."),
    _taken("nommap", "load.use_mmap", "The opposite, in files of former days that lack `usemmap`."),
    _taken("usemlock", "load.use_mlock"),
    _taken("noswa", "load.swa_full"),
    _taken("useswa", "load.swa_full", "Dead: the opposite, read only where `noswa` is missing."),
    _taken("noflashattention", "load.flash_attn", "The opposite: flash attention is on unless told so."),
    _taken("flashattention", "load.flash_attn", "Dead: read only where `noflashattention` is missing."),
    _taken("quantkv", "load.type_k", "And `type_v`, unless flash attention is off. 0 to 3 are old names."),
    _taken("ropeconfig", "load.rope_freq_scale", "And `rope_freq_base`; a scale of 0 is automatic."),
    _taken("overridenativecontext", "load.rope_freq_base", "Computed, where the model file is there."),
    _taken("overridekv", "load.override_kv"),
    _taken("moeexperts", "load.override_kv", "As `ARCH.expert_used_count`, where the model file is there."),
    _taken(
        "nobostoken",
        "load.override_kv",
        "As `tokenizer.ggml.add_bos_token`; nothing else adds it.",
        "approximated",
    ),
    _taken("parallelrequests", "load.n_seq_max", "Above 1; the slots share one context here."),
)

PLACEMENT = (
    _taken(
        "usecuda", "load.main_gpu", "One card alone is `split_mode` none; [] is all cards, null is no CUDA."
    ),
    _taken("usecublas", "load.main_gpu", "Former name of `usecuda`, read where that is missing."),
    _taken("usevulkan", "load.main_gpu", "As `usecuda`; the build of llama.cpp decides.", "approximated"),
    _taken("usecpu", "load.devices", "CPU, and no layers on a card, unless a card is named."),
    _taken("noblas", "load.devices", "Former name of `usecpu`."),
    _taken("gpulayers", "load.n_gpu_layers", "-1 is auto, 0 is none."),
    _taken("autofit", "load.n_gpu_layers", "auto, whatever the other keys of placement say."),
    _taken(
        "autofitpadding",
        "memory.reserve_bytes",
        "Of every card instead of the first; counts with `autofit` alone.",
        "approximated",
    ),
    _taken("tensor_split", "load.tensor_split"),
    _taken("splitmode", "load.split_mode", "row becomes layer, which is what there is here."),
    _taken("maingpu", "load.main_gpu", "-1 is the first."),
    _taken("device", "load.devices"),
    _taken("lowvram", "load.offload_kqv", "The opposite."),
    _taken("moecpu", "load.n_cpu_moe"),
    _taken("overridetensors", "load.override_tensors"),
    _taken("istemplate", "load.n_gpu_layers", "A template leaves cards and layers to the machine: auto."),
)

CHAT = (
    _taken("defaultgenamt", "chat.max_tokens"),
    _taken("genlimit", "chat.max_tokens", "Where it is the smaller one.", "approximated"),
    _taken("promptlimit", "chat.max_tokens", "Former name of `genlimit`.", "approximated"),
    _taken(
        "chatcompletionsadapter",
        "chat.template",
        "A known name is a built-in template; tags become a template file.",
    ),
    _taken("jinja", "chat.template", "auto, which is the template of the model file."),
    _taken("jinja_tools", "chat.template", "auto; tools always go through the template.", "approximated"),
    _taken("jinja_kwargs", "chat.template_options"),
    _taken("jinjatemplate", "chat.template", "An address becomes a download offer."),
    _taken("jinjathink", "chat.template_options", "As `enable_thinking`."),
    _taken("reasoningeffort", "chat.template_options", "As `reasoning_effort`.", "approximated"),
    _taken("gendefaults", "sampling", "Every name in it is reported by itself."),
    _taken("sdgendefaults", "sampling", "Former name of `gendefaults`, read where that is missing."),
)

SERVER = (
    _taken("adminunloadtimeout", "memory.idle_unload_seconds", "0 leaves it to the settings."),
    _taken("port", "", "Presets hold no server; the report says which port counts.", "ignored"),
    _taken("port_param", "", "Beats `port` unless it is 5001.", "ignored"),
)

TAKEN = (*MODEL, *CONTEXT, *PLACEMENT, *CHAT, *SERVER)
