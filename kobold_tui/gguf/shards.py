"""File names of models that are split into several files: `name-00001-of-00003.gguf`."""

from __future__ import annotations

import re

import msgspec

MAX_PARTS = 4096
"""More parts than any model has; a name that announces more is no name of a part."""

_SHARD = re.compile(
    r"(?P<stem>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.IGNORECASE | re.DOTALL
)


class ShardName(msgspec.Struct, frozen=True):
    """A shard's place in its set; `index` counts from 1, `stem` is the path up to the numbers."""

    stem: str
    index: int
    count: int
    suffix: str = ".gguf"

    def sibling(self, index: int) -> str:
        """Return the path of another shard of the same set."""
        return f"{self.stem}-{index:05d}-of-{self.count:05d}{self.suffix}"


def shard_name(path: str) -> ShardName | None:
    """Return what a path says about shards, None for a model in one file."""
    match = _SHARD.fullmatch(path)
    if match is None or not 1 <= int(match["index"]) <= int(match["count"]) <= MAX_PARTS:
        return None
    return ShardName(match["stem"], int(match["index"]), int(match["count"]), match["suffix"])
