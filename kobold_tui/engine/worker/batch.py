"""A `llama_batch` with room for a fixed number of tokens, each of one sequence."""

from __future__ import annotations

from kobold_tui.engine.worker.bindings import C


class Batch:
    """Tokens for one `llama_decode`; never grows beyond `capacity`, which the context's n_batch allows."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.native = C.llama_batch_init(capacity, 0, 1)
        self._tokens, self._positions = self.native.token, self.native.pos
        self._counts, self._sequences = self.native.n_seq_id, self.native.seq_id
        self._outputs = self.native.logits

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

    def free(self) -> None:
        """Give the memory back; the batch cannot be used afterwards."""
        C.llama_batch_free(self.native)
