"""The figures of a header that decide about memory, read so that no value in it can do harm.

A header is untrusted: fields may be missing, of another type, negative or absurdly large.
"""

from __future__ import annotations

import math

from kobold_tui.domain.model import Header, MetadataValue

MAX_LAYERS = 512
"""As many as llama.cpp takes (`LLAMA_MAX_LAYERS` in llama-hparams.h)."""

_MAX_NUMBER = 1 << 40


def _clamped(value: object, default: int) -> int:
    """Return a number from 0 to 2^40; `default` for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return default
    return int(min(max(value, 0), _MAX_NUMBER))


class Fields:
    """Metadata of a header's own architecture; keys are without its name.

    `n_layer` counts all blocks, `n_trunk` those without the blocks that only guess tokens ahead (MTP).
    """

    def __init__(self, header: Header) -> None:
        self.architecture = header.architecture
        self._metadata = header.metadata
        self.n_layer = min(self.integer("block_count"), MAX_LAYERS)
        self.n_trunk = max(self.n_layer - self.integer("nextn_predict_layers"), 0)
        self.n_embd = self.integer("embedding_length")

    def _value(self, key: str) -> object:
        return self._metadata.get(f"{self.architecture}.{key}")

    def has(self, key: str) -> bool:
        """Whether the file says anything about it."""
        return self._value(key) is not None

    def integer(self, key: str, default: int = 0) -> int:
        """Return a number; of a list the largest, `default` where there is none."""
        value = self._value(key)
        if isinstance(value, tuple):
            return max((_clamped(element, 0) for element in value), default=default)
        return _clamped(value, default)

    def per_layer(self, key: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return a number for each layer, from a list or from one for all; 0 where a list is too short."""
        value = self._value(key)
        if isinstance(value, tuple):
            numbers = [_clamped(element, 0) for element in value[: self.n_layer]]
            return tuple(numbers + [0] * (self.n_layer - len(numbers)))
        if value is None and default:
            return default
        return (_clamped(value, 0),) * self.n_layer

    def flags(self, key: str) -> tuple[bool, ...] | None:
        """Return a yes or no for each layer from a list, None where there is no list."""
        value: object | MetadataValue = self._value(key)
        if not isinstance(value, tuple):
            return None
        flags = [bool(element) for element in value[: self.n_layer]]
        return tuple(flags + [False] * (self.n_layer - len(flags)))
