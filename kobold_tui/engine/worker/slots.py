"""Sequences of one context and the tokens whose keys and values each of them still holds.

The next prompt goes to the sequence that shares the longest beginning with it, or to an unused one that is
given a copy of that beginning; in a unified cache a copy takes no memory. What can be kept depends on the
memory: a sliding window forgets what lies behind it although the removal succeeds, and recurrent state cannot
be cut at all; in both cases everything is evaluated again. What follows a shifted window was computed with
tokens in view that are gone, so it serves the answer that runs and no other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.generation import Generation

_ALL = sys.maxsize


class Slot:
    """A sequence: `cached` are its evaluated tokens, `generation` the answer that runs on it.

    Another prompt can use the first `n_exact` of the evaluated tokens.
    """

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.cached: list[int] = []
        self.n_exact = _ALL
        self.generation: Generation | None = None
        self.used_at = 0

    def shared(self, prompt: Sequence[int]) -> int:
        """Return how many tokens from the beginning of `prompt` the sequence can serve."""
        return min(common_prefix(self.cached, prompt), self.n_exact)


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many tokens two sequences share from their beginning."""
    limit = min(len(left), len(right))
    if left[:limit] == right[:limit]:
        return limit
    return next(i for i in range(limit) if left[i] != right[i])


class SequenceMemory:
    """The context's cache, sequence by sequence."""

    def __init__(self, handle: int, *, n_swa: int, recurrent: bool, unified: bool) -> None:
        self._handle = handle
        self._n_swa = n_swa
        self._recurrent = recurrent
        self._can_copy = unified and not recurrent

    def drop(self, slot: Slot) -> None:
        """Forget everything of a sequence."""
        C.llama_memory_seq_rm(self._handle, slot.sequence, -1, -1)
        slot.cached.clear()
        slot.n_exact = _ALL

    def keep(self, slot: Slot, n_tokens: int) -> int:
        """Keep the first `n_tokens` of a sequence if its cache can serve them; returns how many it keeps."""
        if n_tokens <= 0 or not self._cut(slot, n_tokens):
            self.drop(slot)
            return 0
        del slot.cached[n_tokens:]
        if n_tokens <= slot.n_exact:
            slot.n_exact = _ALL
        return n_tokens

    def copy(self, source: Slot, target: Slot, n_tokens: int) -> int:
        """Give `target` the first `n_tokens` of `source` and nothing else; returns how many it got.

        Only a unified attention cache can share a part of a sequence; elsewhere `target` is left empty.
        """
        self.drop(target)
        if not self._can_copy or n_tokens <= 0:
            return 0
        C.llama_memory_seq_cp(self._handle, source.sequence, target.sequence, 0, n_tokens)
        target.cached = source.cached[:n_tokens]
        return self.keep(target, n_tokens)

    def shift(self, slot: Slot, n_keep: int, n_drop: int) -> None:
        """Drop `n_drop` tokens after the first `n_keep` and move what follows forward.

        The cells that move must belong to this sequence alone: llama.cpp moves a shared cell for everybody.
        """
        C.llama_memory_seq_rm(self._handle, slot.sequence, n_keep, n_keep + n_drop)
        C.llama_memory_seq_add(self._handle, slot.sequence, n_keep + n_drop, -1, -n_drop)
        del slot.cached[n_keep : n_keep + n_drop]
        slot.n_exact = min(slot.n_exact, n_keep)

    def recover(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Bring a sequence in order after a decode of `tokens` that did not end.

        What llama.cpp had finished stays, but the last token is evaluated again: its logits are lost.
        """
        if self._recurrent:
            self.drop(slot)
            return
        n_done = C.llama_memory_seq_pos_max(self._handle, slot.sequence) + 1 - len(slot.cached)
        slot.cached.extend(tokens[: max(min(n_done, len(tokens) - 1), 0)])
        self.keep(slot, len(slot.cached))

    def _cut(self, slot: Slot, n_tokens: int) -> bool:
        sequence = slot.sequence
        if self._recurrent and n_tokens < len(slot.cached):
            return False
        if not self._recurrent and not C.llama_memory_seq_rm(self._handle, sequence, n_tokens, -1):
            return False
        if C.llama_memory_seq_pos_max(self._handle, sequence) != n_tokens - 1:
            return False
        if self._recurrent:
            return True
        needed_from = max(0, n_tokens - self._n_swa) if self._n_swa else 0
        return bool(C.llama_memory_seq_pos_min(self._handle, sequence) <= needed_from)


def prepare_slot(memory: SequenceMemory, slots: Sequence[Slot], prompt: Sequence[int]) -> Slot:
    """Return a free slot that holds as much of the prompt as can be had, but not its last token.

    The best match is cut, unless it would lose more of its cache than it saves; then the slot that was not
    used for the longest time gets a copy. At least one slot must be free.
    """
    usable = prompt[:-1]  # one token must be evaluated, or there is nothing to draw from
    free = [slot for slot in slots if slot.generation is None]
    best = max(free, key=lambda slot: slot.shared(usable))
    shared = best.shared(usable)
    if 2 * shared >= len(best.cached) > 0:
        memory.keep(best, shared)
        return best
    target = min(free, key=lambda slot: (bool(slot.cached), slot.used_at))
    source = max(slots, key=lambda slot: slot.shared(usable))
    shared = source.shared(usable)
    if source is target:
        memory.keep(target, shared)
    else:
        memory.copy(source, target, shared)
    return target
