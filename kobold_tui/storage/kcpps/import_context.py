"""Context, batches, threads, cache and rotary embedding of a document."""

from __future__ import annotations

import re

from kobold_tui.domain.preset_report import KeyStatus
from kobold_tui.storage.kcpps.facts import automatic_base, stretched_base
from kobold_tui.storage.kcpps.reading import Reading, number

DEFAULT_CONTEXT = 12_288
DEFAULT_BATCH = 512
CACHE_TYPES = ("f16", "bf16", "q8_0", "q5_1", "q4_0")
_OLD_CACHE_TYPES = {0: "f16", 1: "q8_0", 2: "q4_0", 3: "bf16"}
_MOST_OVERRIDES = 16
_OVERRIDE = re.compile(r"([^=:,]+)=(int|float|bool|str):(.*)", re.DOTALL)


def read_sizes(reading: Reading) -> None:
    """Take over context, batches, slots and threads."""
    n_ctx = reading.integer("contextsize")
    if n_ctx is not None:
        reading.put("contextsize", "load.n_ctx", n_ctx)
    elif reading.values.get("contextsize") is None:
        reading.assume("contextsize", "load.n_ctx", DEFAULT_CONTEXT)
    _read_batch(reading)
    for key, setting in (("threads", "load.n_threads"), ("blasthreads", "load.n_threads_batch")):
        count = reading.integer(key)
        if count is not None and count > 0:
            reading.put(key, setting, count)
        reading.say(key, "mapped", "0 or less is auto.", setting)
    slots = 1 if reading.values.get("parallelrequests") is True else reading.integer("parallelrequests")
    if slots is not None and slots > 1:
        reading.put("parallelrequests", "load.n_seq_max", slots)
    reading.say("parallelrequests", "ignored", "One at a time; further slots cost nothing here.")


def _read_batch(reading: Reading) -> None:
    key = "batchsize" if "batchsize" in reading.values else "blasbatchsize"
    asked = reading.integer(key)
    single = reading.flag("nopipelineparallel")
    size = 1 if asked == -1 else asked or DEFAULT_BATCH
    if asked:
        if not reading.put(key, "load.n_ubatch", size):
            size = DEFAULT_BATCH
    elif reading.values.get(key) is None:
        reading.assume("batchsize", "load.n_ubatch", size)
    reading.say("blasbatchsize", "ignored", "`batchsize` counts.")
    reading.set("load.n_batch", size if single or size == 1 else min(2 * size, 65_536))
    reading.say("nopipelineparallel", "mapped", "", "load.n_batch")


def read_memory(reading: Reading) -> None:
    """Take over how weights get into memory and how large the cache of sliding windows is."""
    if "usemmap" in reading.values:
        reading.put("usemmap", "load.use_mmap", reading.flag("usemmap"))
        reading.say("nommap", "ignored", "Dead: `usemmap` counts.")
    elif "nommap" in reading.values:
        reading.put("nommap", "load.use_mmap", not reading.flag("nommap"))
    else:
        reading.assume("usemmap", "load.use_mmap", False)
    if "usemlock" in reading.values:
        reading.put("usemlock", "load.use_mlock", reading.flag("usemlock"))
    if "noswa" in reading.values:
        reading.put("noswa", "load.swa_full", reading.flag("noswa"))
        reading.say("useswa", "ignored", "Dead: `noswa` counts.")
    elif "useswa" in reading.values:
        reading.put("useswa", "load.swa_full", not reading.flag("useswa"))


def read_attention(reading: Reading) -> None:
    """Take over flash attention, and the types of the cache, which depend on it."""
    if "noflashattention" in reading.values:
        reading.put("noflashattention", "load.flash_attn", not reading.flag("noflashattention"))
        reading.say("flashattention", "ignored", "Dead: `noflashattention` counts.")
    elif "flashattention" in reading.values:
        reading.put("flashattention", "load.flash_attn", reading.flag("flashattention"))
    else:
        reading.assume("noflashattention", "load.flash_attn", True)
    if "quantkv" not in reading.values:
        return
    asked = cache_type(reading.values["quantkv"])
    if asked is None:
        reading.refuse("quantkv", f"It must be one of {', '.join(CACHE_TYPES)}, or 0 to 3.")
        return
    reading.set("load.type_k", asked)
    with_values = reading.get("load.flash_attn") is not False or asked in {"f16", "bf16"}
    if with_values:
        reading.set("load.type_v", asked)
    note = "And `type_v`." if with_values else "Without flash attention the values stay f16."
    reading.say("quantkv", "mapped", note, "load.type_k")


def cache_type(value: object) -> str | None:
    """Return the element type that any of KoboldCpp's spellings means, None for what is none."""
    if isinstance(value, str) and value.strip().lower() in CACHE_TYPES:
        return value.strip().lower()
    if isinstance(value, str) and value.strip() in {"0", "1", "2", "3"}:
        return _OLD_CACHE_TYPES[int(value)]
    if value is None or value == "":
        return "f16"
    index = number(value)
    return _OLD_CACHE_TYPES.get(int(index)) if index is not None and index == int(index) else None


def read_rope(reading: Reading) -> None:
    """Take over the rotary embedding, computed as KoboldCpp does where it is automatic."""
    given = reading.numbers("ropeconfig")
    pretended = reading.integer("overridenativecontext") or 0
    if pretended <= 0 and given and given[0] > 0:
        base = given[1] if len(given) > 1 else 10_000.0
        if reading.put("ropeconfig", "load.rope_freq_scale", float(given[0])):
            reading.set("load.rope_freq_base", float(max(base, 0.0)))
        return
    _read_automatic_rope(reading, pretended)


def _read_automatic_rope(reading: Reading, pretended: int) -> None:
    n_ctx = reading.get("load.n_ctx") or DEFAULT_CONTEXT
    key = "overridenativecontext" if pretended > 0 else "ropeconfig"
    if reading.facts is None:
        note = "Automatic: depends on the model file, which is not there; the model's own values are taken."
        reading.say(key, "unsupported" if pretended > 0 else "approximated", note)
    else:
        facts = reading.facts
        base = (
            stretched_base(facts.rope_freq_base, n_ctx, pretended)
            if pretended > 0
            else automatic_base(facts, n_ctx)
        )
        if base is not None:
            reading.set("load.rope_freq_scale", 1.0)
            reading.put(key, "load.rope_freq_base", base, "mapped", f"Computed for a context of {n_ctx}.")
        reading.say(key, "mapped", "Automatic: nothing changes for this model and context.")
    if pretended > 0:
        reading.say("ropeconfig", "ignored", "`overridenativecontext` counts.")


def read_overrides(reading: Reading) -> None:
    """Take over replaced metadata, the number of experts, and whether a BOS token is added."""
    values, strange = parse_overrides(reading.text("overridekv"))
    n_experts = reading.integer("moeexperts")
    if values:
        status: KeyStatus = "approximated" if strange else "mapped"
        note = f"Not understood: {', '.join(strange)[:80]}." if strange else ""
        reading.put("overridekv", "load.override_kv", values, status, note)
    elif strange:
        reading.refuse("overridekv", "It must be a list of name=type:value.")
    if n_experts is not None and n_experts > 0:
        _read_experts(reading, values, n_experts)
    if reading.flag("nobostoken"):
        values["tokenizer.ggml.add_bos_token"] = False
        note = "Through the model's metadata."
        reading.put("nobostoken", "load.override_kv", values, "approximated", note)
    elif values:
        reading.set("load.override_kv", values)


def _read_experts(reading: Reading, values: dict[str, bool | int | float | str], count: int) -> None:
    if reading.facts is not None:
        values[f"{reading.facts.architecture}.expert_used_count"] = count
        reading.put("moeexperts", "load.override_kv", values)
    elif any(name.endswith(".expert_used_count") and value == count for name, value in values.items()):
        reading.say("moeexperts", "mapped", "`overridekv` says the same.", "load.override_kv")
    else:
        note = f'Needs the model file; or write load.override_kv "ARCH.expert_used_count" = {count}.'
        reading.say("moeexperts", "unsupported", note)


def parse_overrides(text: str) -> tuple[dict[str, bool | int | float | str], list[str]]:
    """Return GGUF keys with their values, and what is none, from `name=type:value,…`."""
    values: dict[str, bool | int | float | str] = {}
    strange: list[str] = []
    for piece in filter(None, (part.strip() for part in text.split(","))):
        found = _OVERRIDE.fullmatch(piece)
        value = _typed(found[2], found[3].strip()) if found else None
        if found is None or value is None or (len(values) >= _MOST_OVERRIDES and found[1] not in values):
            strange.append(piece[:40])
        else:
            values[found[1].strip()] = value
    return values, strange


def _typed(kind: str, text: str) -> bool | int | float | str | None:
    if kind == "str":
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower())
    if kind == "int":
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else None
    found = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text[:64])
    return number(float(text)) if found else None
