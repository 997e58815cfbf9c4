"""A full context goes on: the oldest half of a conversation is dropped and the rest moves forward.

The system message stays, or at least the first four tokens: models rest their attention on them, and the text
falls apart without (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023). The keys
that move are rotated to their new positions by llama.cpp, at the next decode; nothing is evaluated again.
That is not possible where positions are no rotation (recurrent state, several positions a token), where a
window of the cache is already gone (sliding windows without `swa_full`), and for bf16 keys, on which
llama.cpp's rotation ends the process. Cells that another sequence shares would move for both, so that the
other one gives them up and is evaluated again when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.generation import Generation
from kobold_tui.engine.worker.model import Model
from kobold_tui.engine.worker.slots import SequenceMemory, Slot, common_prefix
from kobold_tui.engine.worker.vocab import Vocab

_ATTENTION_SINKS = 4
_MOST_KEPT = 3 / 4  # of a context; a longer system message loses its end


class ContextShift:
    """Makes room in the window of one slot."""

    def __init__(self, model: Model, memory: SequenceMemory, slots: Sequence[Slot]) -> None:
        self._vocab = model.vocab
        self._memory = memory
        self._slots = slots
        self._limit = model.n_ctx_seq
        self.possible = (
            not model.weights.is_recurrent
            and model.spec.options.type_k != "bf16"
            and bool(C.llama_memory_can_shift(model.memory))
        )

    def make_room(self, slot: Slot, generation: Generation) -> bool:
        """Shorten a conversation that has filled its window; false where that cannot be."""
        if not self.possible or not generation.request.context_shift:
            return False
        n_keep = min(self._n_keep(generation), int(_MOST_KEPT * self._limit))
        n_drop = (len(slot.cached) - n_keep) // 2
        if n_drop < 1:
            return False
        self._free_shared(slot, n_keep + n_drop)
        self._memory.shift(slot, n_keep, n_drop)
        del generation.tokens[n_keep : n_keep + n_drop]
        generation.note_dropped(n_drop, n_keep, self._limit)
        return True

    def _free_shared(self, slot: Slot, n_tokens: int) -> None:
        """Drop the other sequences that could share cells behind the first `n_tokens`."""
        for other in self._slots:
            if other is not slot and common_prefix(other.cached, slot.cached) > n_tokens:
                self._memory.drop(other)

    def _n_keep(self, generation: Generation) -> int:
        if generation.n_keep is None:
            request = generation.request
            system = next((m.content for m in request.messages if m.role == "system"), "")
            found = system_length(self._vocab, generation.tokens[: generation.n_prompt], system)
            generation.n_keep = max(found, _ATTENTION_SINKS) if request.n_keep is None else request.n_keep
        return generation.n_keep


def system_length(vocab: Vocab, prompt: Sequence[int], system: str) -> int:
    """Return how many tokens at the beginning of a prompt hold its system message, with its end token.

    That is 0 without one, or where the template writes it differently.
    """
    wanted = system.strip().encode()
    if not wanted:
        return 0
    pieces = [vocab.piece(token) for token in prompt]
    at = b"".join(pieces).find(wanted)
    if at < 0:
        return 0
    n_tokens, n_bytes = 0, 0
    while n_bytes < at + len(wanted):
        n_bytes += len(pieces[n_tokens])
        n_tokens += 1
    ends_turn = n_tokens < len(prompt) and vocab.is_eog(prompt[n_tokens])
    return n_tokens + ends_turn
