"""What each slot puts into the next batch: its waiting tokens, and where it writes, a guess of what follows.

Slots that are writing come first; prompts share the rest of the batch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from kobold_tui.engine.worker.batch import Batch
from kobold_tui.engine.worker.generation import Generation
from kobold_tui.engine.worker.model import Model
from kobold_tui.engine.worker.slots import Slot


class Row(NamedTuple):
    """One slot's part of a batch: `tokens` to evaluate, then `draft` tokens that are only guessed.

    `output` is the index of the last token, whose logits are drawn from, or -1 within a prompt; the logits of
    the draft follow it.
    """

    slot: Slot
    tokens: list[int]
    draft: list[int]
    output: int


def usable_draft(model: Model) -> int:
    """Return how many tokens are guessed, and say in the log where these are fewer than asked for.

    llama.cpp gives each sequence an equal share of the reserved rows of logits. A recurrent state cannot take
    a wrong guess back.
    """
    wanted, shape = model.spec.options.n_draft, model.shape
    if not wanted:
        return 0
    if model.weights.is_recurrent:
        _log(f"prompt lookup is off: the state of {model.name} cannot be rolled back")
        return 0
    n_draft = max(min(wanted, shape.n_outputs_max // shape.n_seq_max - 1), 0)
    if n_draft < wanted:
        _log(
            f"prompt lookup guesses {n_draft} tokens instead of {wanted}: n_outputs_max is"
            f" {shape.n_outputs_max}, and {shape.n_seq_max} slots need {shape.n_seq_max * (1 + wanted)}"
        )
    return n_draft


def _log(note: str) -> None:
    print(note, file=sys.stderr, flush=True)  # noqa: T201 - log


def fill(batch: Batch, active: Sequence[tuple[Slot, Generation]], *, n_ctx: int, drafting: bool) -> list[Row]:
    """Fill an empty batch with the next tokens of all running answers, none behind position `n_ctx`."""
    rows = []
    in_order = sorted(active, key=lambda item: len(item[1].tokens) - len(item[0].cached))
    for n_before, (slot, generation) in enumerate(in_order):
        room = batch.capacity - len(batch)
        if not room:
            break
        done = len(slot.cached)
        tokens = generation.tokens[done : done + room]
        is_last = done + len(tokens) == len(generation.tokens)
        n_later = len(in_order) - n_before - 1
        may_draft = drafting and is_last and len(tokens) == 1
        draft = _draft(generation, room - 1 - n_later, n_ctx) if may_draft else []
        rows.append(_add(batch, slot, tokens, draft, is_last=is_last))
    return rows


def _draft(generation: Generation, room: int, n_ctx: int) -> list[int]:
    """Guess what follows the one token that an answer has just drawn."""
    if generation.lookup is None or not generation.n_drawn:
        return []
    n_wanted = generation.request.max_tokens - generation.n_generated - 1
    return generation.lookup.draft(generation.tokens, min(room, n_ctx - len(generation.tokens), n_wanted))


def _add(batch: Batch, slot: Slot, tokens: list[int], draft: list[int], *, is_last: bool) -> Row:
    output, position = -1, len(slot.cached)
    last = len(tokens) - 1
    for offset, token in enumerate((*tokens, *draft) if draft else tokens):
        wanted = is_last and offset >= last
        index = batch.add(token, position + offset, slot.sequence, output=wanted)
        if is_last and offset == last:
            output = index
    return Row(slot, tokens, draft, output)
