"""A `llama_batch` with room for a fixed number of tokens, each of one sequence."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from kobold_tui.engine.worker.bindings import C

_Id = ctypes.c_int32


class Batch:
    """Tokens for one `llama_decode`; never grows beyond `capacity`, which the context's n_batch allows.

    The memory is Python's own, which llama.cpp only reads: what never changes is written once, and arrays
    are written faster than what lies behind pointers.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._n_tokens = 0
        self._tokens, self._positions, self._sequences = ((_Id * capacity)() for _ in range(3))
        self._outputs = (ctypes.c_int8 * capacity)()
        self._native = self._link((_Id * capacity)(*[1] * capacity))

    def _link(self, counts: Any) -> Any:
        """Return the struct that points to the arrays and keeps them alive."""
        place = ctypes.POINTER(_Id)
        first = ctypes.addressof(self._sequences)
        sequence_ids = (ctypes.c_void_p * self.capacity)(
            *range(first, first + ctypes.sizeof(self._sequences), ctypes.sizeof(_Id))
        )
        return C.llama_batch(
            token=ctypes.cast(self._tokens, place),
            pos=ctypes.cast(self._positions, place),
            n_seq_id=ctypes.cast(counts, place),
            seq_id=ctypes.cast(sequence_ids, ctypes.POINTER(place)),
            logits=ctypes.cast(self._outputs, ctypes.POINTER(ctypes.c_int8)),
        )

    def __len__(self) -> int:
        return self._n_tokens

    @property
    def native(self) -> Any:
        """The `llama_batch` with the present tokens; valid as long as this object lives."""
        self._native.n_tokens = self._n_tokens
        return self._native

    def clear(self) -> None:
        """Take all tokens out."""
        self._n_tokens = 0

    def add(self, token: int, position: int, sequence: int, *, output: bool) -> int:
        """Append a token and return its index; `output` asks for its logits or embedding."""
        index = self._n_tokens
        if index >= self.capacity:
            raise IndexError(f"a batch of {self.capacity} tokens is full")
        self._tokens[index] = token
        self._positions[index] = position
        self._sequences[index] = sequence
        self._outputs[index] = output
        self._n_tokens = index + 1
        return index

    def add_text(self, tokens: Sequence[int], sequence: int) -> None:
        """Append a whole text at the positions from 0 on, each of its tokens with an output."""
        first, count = self._n_tokens, len(tokens)
        end = first + count
        if end > self.capacity:
            raise IndexError(f"a batch of {self.capacity} tokens has no room for {count} more")
        self._tokens[first:end] = [*tokens]
        self._positions[first:end] = list(range(count))
        self._sequences[first:end] = [sequence] * count
        self._outputs[first:end] = [1] * count
        self._n_tokens = end
