"""Which cards hold how much of the model: the keys of a document decide together.

A card that is named alone is the only one in use; null, [] and a list mean three different things; `autofit`
and `usecpu` overrule the rest.
"""

from __future__ import annotations

from typing import Any, Literal

from kobold_tui.domain.load_options import CPU_ONLY
from kobold_tui.storage.kcpps.reading import Reading, number

Backend = Literal["cuda", "vulkan", "cpu", "auto"]
MOST_SHARES = 16
_KNOWN_WORDS = {"all", "normal", "mmq", "nommq", "lowvram", "rowsplit"}
_MIB = 1024 * 1024


def read_placement(reading: Reading) -> None:
    """Take over backend, layers, shares and what stays in RAM."""
    backend, words = _backend(reading)
    fitted = reading.flag("autofit")
    if fitted:
        reading.say("autofit", "mapped", "auto", "load.n_gpu_layers")
    _read_layers(reading, backend, fitted=fitted)
    split = [] if fitted else _read_shares(reading)
    _read_cards(reading, [word for word in words if word.isdecimal()], split=bool(split))
    _read_split_mode(reading, words)
    _read_ram(reading, words, fitted=fitted)
    _read_devices(reading)
    _read_reserve(reading, fitted=fitted)
    if fitted:
        for key in ("moecpu", "overridetensors", "tensor_split"):
            reading.say(key, "ignored", "`autofit` decides.")


def _backend(reading: Reading) -> tuple[Backend, list[str]]:
    key = "usecuda" if "usecuda" in reading.values else "usecublas"
    if key == "usecuda":
        reading.say("usecublas", "ignored", "`usecuda` counts.")
    cuda = _words(reading, key)
    vulkan = _words(reading, "usevulkan")
    cpu = reading.flag("usecpu") or reading.flag("noblas")
    if cuda is not None:
        reading.say("usevulkan", "ignored", f"`{key}` counts." if vulkan is not None else "")
        return "cuda", cuda
    reading.say(key, "ignored", "")
    if vulkan is not None:
        return "vulkan", vulkan
    reading.say("usevulkan", "ignored", "")
    return ("cpu" if cpu else "auto"), []


def _words(reading: Reading, key: str) -> list[str] | None:
    """Return the words of a list of cards; None where the backend is not asked for."""
    value = reading.values.get(key)
    if value is None or value is False:
        return None
    items = [] if value is True else value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) or number(item) is not None for item in items):
        reading.refuse(key, "It must be a list of card numbers and words.")
        return None
    return [_word(item) for item in items]


def _word(item: Any) -> str:
    return item.strip().lower() if isinstance(item, str) else f"{item:g}"


def _read_layers(reading: Reading, backend: Backend, *, fitted: bool) -> None:
    if backend == "cpu":
        reading.set("load.n_gpu_layers", 0)
        for key in ("usecpu", "noblas"):
            if reading.flag(key):
                reading.put(key, "load.devices", list(CPU_ONLY), "mapped", "And no layers on a card.")
        reading.say("gpulayers", "ignored", "All layers stay on the CPU.")
        return
    reading.say("usecpu", "ignored", "" if backend == "auto" else "A card is asked for.")
    reading.say("noblas", "ignored", "" if backend == "auto" else "A card is asked for.")
    if reading.flag("istemplate"):
        reading.say("istemplate", "mapped", "Cards and layers are left to this machine.", "load.n_gpu_layers")
    asked = reading.integer("gpulayers")
    if fitted:
        reading.say("gpulayers", "ignored", "`autofit` decides.")
    elif asked is not None:
        value = "auto" if asked == -1 else min(asked, 100_000)
        reading.put("gpulayers", "load.n_gpu_layers", value, "mapped", "auto" if asked == -1 else "")


def _read_shares(reading: Reading) -> list[float]:
    shares = [float(share) for share in reading.numbers("tensor_split")]
    if not any(shares):
        reading.say("tensor_split", "ignored")
        return []
    if len(shares) > MOST_SHARES:
        reading.refuse("tensor_split", f"KoboldCpp takes {MOST_SHARES} shares at most.")
        return []
    return shares if reading.put("tensor_split", "load.tensor_split", shares) else []


def _read_cards(reading: Reading, digits: list[str], *, split: bool) -> None:
    """Take over the card that is named: with shares it is the main one, alone it is the only one."""
    key = next((k for k in ("usecuda", "usecublas", "usevulkan") if reading.values.get(k) is not None), "")
    main = reading.integer("maingpu")
    if len(digits) == 1 and not split:
        if reading.put(key, "load.main_gpu", int(digits[0]), "mapped", "This card alone: split_mode none."):
            reading.set("load.split_mode", "none")
        reading.say("maingpu", "ignored", "Only one card is in use.")
        return
    if main is not None and main >= 0:
        reading.put("maingpu", "load.main_gpu", main)
    elif len(digits) == 1:
        reading.put(key, "load.main_gpu", int(digits[0]), "mapped", "The main card.")
    if len(digits) > 1:
        reading.say(key, "approximated", "All cards are in use; load.tensor_split can leave some out.")
    reading.say(key, "mapped", "All cards.", "load.main_gpu")


def _read_split_mode(reading: Reading, words: list[str]) -> None:
    mode = reading.text("splitmode").lower() or "layer"
    if reading.get("load.split_mode") == "none":
        reading.say("splitmode", "ignored", "Only one card is in use.")
    elif mode == "row" or "rowsplit" in words:
        reading.say("splitmode", "approximated", "Whole layers: rows are not split here.", "load.split_mode")
    elif mode in {"layer", "tensor"}:
        if "splitmode" in reading.values:
            reading.put("splitmode", "load.split_mode", mode)
    else:
        reading.refuse("splitmode", "It must be layer, row or tensor.")


def _read_ram(reading: Reading, words: list[str], *, fitted: bool) -> None:
    if "lowvram" in reading.values or "lowvram" in words:
        in_ram = reading.flag("lowvram") or "lowvram" in words
        reading.set("load.offload_kqv", not in_ram)
        reading.say("lowvram", "mapped", "", "load.offload_kqv")
    if fitted:
        return
    n_moe = reading.integer("moecpu")
    if n_moe is not None:
        reading.put("moecpu", "load.n_cpu_moe", min(n_moe, 100_000))
    pairs = [pair.strip() for pair in reading.text("overridetensors").split(",") if pair.strip()]
    if pairs:
        reading.put("overridetensors", "load.override_tensors", pairs)


def _read_devices(reading: Reading) -> None:
    devices = [name.strip() for name in reading.text("device").split(",") if name.strip()]
    if devices and reading.get("load.devices"):
        reading.say("device", "ignored", "No card is in use.")
    elif devices:
        reading.put("device", "load.devices", devices)


def _read_reserve(reading: Reading, *, fitted: bool) -> None:
    megabytes = reading.integer("autofitpadding")
    if megabytes is None:
        return
    if not fitted:
        reading.say("autofitpadding", "ignored", "KoboldCpp heeds it with `autofit` alone.")
        return
    note = "On every card, not on the first alone."
    reading.put("autofitpadding", "memory.reserve_bytes", megabytes * _MIB, "approximated", note)
