"""Which files a document names: model, adapter, projector, and the model for embeddings."""

from __future__ import annotations

from typing import Any

from kobold_tui.domain.preset_report import KeyStatus
from kobold_tui.storage.kcpps.document import SUFFIXES
from kobold_tui.storage.kcpps.offers import is_address, offer_for
from kobold_tui.storage.kcpps.reading import Reading

_GGUF = (".gguf",)
_EXTENSIONS = {"model": (".gguf", ".bin", ".ggml"), "load.mmproj": _GGUF, "chat.template": (".jinja",)}
_FETCH = {
    "model": "An address: fetch the file first, it is then found by its name.",
    "load.mmproj": "An address: fetch the file first, then write where it lies.",
    "chat.template": "An address: fetch the file first, then write where it lies.",
}


def read_model(reading: Reading) -> None:
    """Take over the text model, from `model_param` or else from the first entry of `model`."""
    listed = reading.texts("model")
    wanted = reading.text("model_param")
    key = "model_param" if wanted else "model"
    if wanted.lower().endswith(SUFFIXES):
        reading.refuse(key, "It names another configuration; import that file.")
    elif wanted or listed:
        put_file(reading, key, "model", wanted or listed[0])
        if listed:
            reading.say("model", "ignored", "`model_param` is what is loaded." if wanted else "")
    if reading.flag("nomodel"):
        reading.say("nomodel", "mapped", "The preset names no text model.", "kind")


def read_attachments(reading: Reading) -> None:
    """Take over the adapter with its factor, and the projector."""
    adapters = reading.texts("lora")
    factor = reading.number("loramult")
    if adapters and is_address(adapters[0]):
        reading.refuse("lora", "KoboldCpp itself fetches no adapters; give the path of a file.")
    elif adapters:
        note = "The second entry, a base file, has no use for GGUF." if len(adapters) > 1 else ""
        adapter: dict[str, Any] = {"path": adapters[0], "scale": 1.0 if factor is None else float(factor)}
        reading.put("lora", "load.lora", [adapter], "approximated" if note else "mapped", note)
        reading.say("loramult", "mapped", "", "load.lora")
    reading.say("loramult", "ignored")
    if projector := reading.text("mmproj"):
        put_file(reading, "mmproj", "load.mmproj", projector)
        if "mmprojcpu" in reading.values:
            reading.put("mmprojcpu", "load.mmproj_offload", not reading.flag("mmprojcpu"))


def read_embeddings(reading: Reading) -> dict[str, Any] | None:
    """Return the table of a preset for the embedding model, None where the document names none."""
    wanted = reading.text("embeddingsmodel")
    if not wanted:
        for key in ("embeddingsmaxctx", "embeddingsgpu"):
            reading.say(key, "ignored")
        return None
    name = file_name(reading, "embeddingsmodel", wanted, _GGUF)
    if not name:
        return None
    reading.say("embeddingsmodel", "approximated", "A preset of its own, of the kind embedding.", "model")
    asked = reading.integer("embeddingsmaxctx")
    n_ctx = asked or (4096 if asked is None else reading.get("load.n_ctx") or 4096)
    n_ctx = min(max(n_ctx, 256), 65_536)
    on_gpu = reading.flag("embeddingsgpu")
    reading.say("embeddingsmaxctx", "mapped", "Of the preset for embeddings.", "load.n_ctx")
    reading.say("embeddingsgpu", "mapped", "Of the preset for embeddings.", "load.n_gpu_layers")
    layers = "auto" if on_gpu else 0
    load = {"n_ctx": n_ctx, "n_batch": n_ctx, "n_ubatch": n_ctx, "n_gpu_layers": layers, "offload_kqv": False}
    return {"model": name, "kind": "embedding", "load": load}


def put_file(reading: Reading, key: str, setting: str, value: str) -> None:
    """Give a setting the file that a key names; an address becomes an offer and the name of its file."""
    if name := file_name(reading, key, value, _EXTENSIONS[setting]):
        status: KeyStatus = "approximated" if is_address(value) else "mapped"
        reading.put(key, setting, name, status, _FETCH[setting] if is_address(value) else "")


def file_name(reading: Reading, key: str, value: str, extensions: tuple[str, ...]) -> str:
    """Return the path that a key names, or the name of the file behind an address; empty where refused."""
    if not is_address(value):
        return value
    offer = offer_for(key, value, extensions)
    if isinstance(offer, str):
        reading.refuse(key, f"Not fetched: {offer}.")
        return ""
    reading.downloads.append(offer)
    return offer.file_name
