"""From the files of a repository to what a person downloads: parts joined, projectors apart."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kobold_tui.domain.hub import HubFile, HubItem, ItemKind
from kobold_tui.gguf.shards import shard_name

_QUANTIZATION = re.compile(
    r"(?<![A-Za-z0-9])"
    r"((?:UD-)?(?:I?Q\d+(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32)(?:_XL)?)"
    r"(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_ORDER: tuple[ItemKind, ...] = ("model", "projector", "matrix")


def items_of(files: Iterable[HubFile]) -> tuple[HubItem, ...]:
    """Return what can be downloaded: models first, each kind from small to large."""
    sets: dict[tuple[str, int], dict[int, HubFile]] = {}
    for file in files:
        if file.path.lower().endswith(".gguf") and is_safe_name(file.name):
            shard = shard_name(file.path)
            key = (shard.stem, shard.count) if shard else (file.path[: -len(".gguf")], 1)
            sets.setdefault(key, {})[shard.index if shard else 1] = file
    items = [_item(stem, count, parts) for (stem, count), parts in sets.items()]
    return tuple(sorted(items, key=lambda item: (_ORDER.index(item.kind), item.size_bytes, item.name)))


def quantization_in(path: str) -> str:
    """Return the quantization that a file name announces, such as `Q4_K_M`; empty where it names none."""
    found = _QUANTIZATION.findall(path.rsplit("/", 1)[-1]) or _QUANTIZATION.findall(path)
    return _usual(found[-1]) if found else ""


def is_safe_name(name: str) -> bool:
    """Whether a name can become a file in a folder, hidden from nobody and at no other place."""
    return name.isprintable() and not name.startswith(".") and "/" not in name and "\\" not in name


def _item(stem: str, count: int, parts: dict[int, HubFile]) -> HubItem:
    some = parts[min(parts)]
    shard = shard_name(some.name)
    lacking = [index for index in range(1, count + 1) if index not in parts]
    return HubItem(
        name=stem.rsplit("/", 1)[-1],
        kind=_kind(stem.rsplit("/", 1)[-1].lower()),
        quantization=quantization_in(stem),
        files=tuple(parts[index] for index in sorted(parts)),
        missing=tuple(shard.sibling(index) for index in lacking) if shard else (),
    )


def _kind(name: str) -> ItemKind:
    if "mmproj" in name:
        return "projector"
    return "matrix" if "imatrix" in name else "model"


def _usual(name: str) -> str:
    upper = name.upper()
    return {"FP16": "F16", "FP32": "F32"}.get(upper, upper)
