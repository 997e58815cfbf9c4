"""A `llama_batch` with room for a fixed number of tokens, each of one sequence."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from kobold_tui.engine.worker.bindings import C


class Batch:
    """Tokens for one `llama_decode`; never grows beyond `capacity`, which the context's n_batch allows."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.native = C.llama_batch_init(capacity, 0, 1)
        self._tokens, self._positions = self.native.token, self.native.pos
        self._counts, self._sequences = self.native.n_seq_id, self.native.seq_id
        self._outputs = self.native.logits
        self._sequence_ids = [self._sequences[index] for index in range(capacity)]

    def __len__(self) -> int:
        return int(self.native.n_tokens)

    def clear(self) -> None:
        """Take all tokens out."""
        self.native.n_tokens = 0

    def add(self, token: int, position: int, sequence: int, *, output: bool) -> int:
        """Append a token and return its index; `output` asks for its logits or embedding."""
        index = int(self.native.n_tokens)
        if index >= self.capacity:
            raise IndexError(f"a batch of {self.capacity} tokens is full")
        self._tokens[index] = token
        self._positions[index] = position
        self._counts[index] = 1
        self._sequences[index][0] = sequence
        self._outputs[index] = output
        self.native.n_tokens = index + 1
        return index

    def add_text(self, tokens: Sequence[int], sequence: int) -> None:
        """Append a whole text at the positions from 0 on, each of its tokens with an output."""
        first, end = int(self.native.n_tokens), int(self.native.n_tokens) + len(tokens)
        if end > self.capacity:
            raise IndexError(f"a batch of {self.capacity} tokens has no room for {len(tokens)} more")
        _fill(self._tokens, ctypes.c_int32, first, tokens)
        _fill(self._positions, ctypes.c_int32, first, range(len(tokens)))
        _fill(self._counts, ctypes.c_int32, first, [1] * len(tokens))
        _fill(self._outputs, ctypes.c_int8, first, [1] * len(tokens))
        for ids in self._sequence_ids[first:end]:
            ids[0] = sequence
        self.native.n_tokens = end

    def free(self) -> None:
        """Give the memory back; the batch cannot be used afterwards."""
        C.llama_batch_free(self.native)


def _fill(pointer: Any, kind: Any, first: int, values: Sequence[int]) -> None:
    """Write values one after the other into an array of llama.cpp, from index `first` on."""
    address = ctypes.addressof(pointer.contents) + first * ctypes.sizeof(kind)
    (kind * len(values)).from_address(address)[:] = values
