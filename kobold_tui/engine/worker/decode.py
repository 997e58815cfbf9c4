"""Continuous batching: every running answer advances by each decode, on its own sequence of one context.

A decode holds one token of each answer that is being written and, up to n_ubatch tokens in all, pieces of
the prompts that are being read; it is never larger, so that a cancel takes effect soon. Answers beyond the
number of sequences wait. When the shared cache is full, idle sequences are forgotten first, then the
youngest answer waits with its text intact until another one has ended.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import FinishReason, GenerateEvent, PromptProgress
from kobold_tui.engine.worker.batch import Batch
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.generation import Generation
from kobold_tui.engine.worker.logprobs import LogprobReader
from kobold_tui.engine.worker.model import Model
from kobold_tui.engine.worker.slots import SequenceMemory, Slot, prepare_slot

_NO_ROOM, _ABORTED = 1, 2  # llama_decode's return values in llama.h
TaggedEvent = tuple[int, GenerateEvent]


class _Row(NamedTuple):
    """What one slot has in a batch; `output` is the index whose logits are drawn from, or -1."""

    slot: Slot
    tokens: list[int]
    output: int


class Decoder:
    """Runs the answers of one model; `step` is one decode."""

    def __init__(self, model: Model) -> None:
        if model.memory is None:
            raise EngineError("No text generation", f"{model.name} keeps no context to generate from.")
        self._model = model
        self._memory = SequenceMemory(
            model.memory,
            n_swa=model.weights.n_swa,
            recurrent=model.weights.is_recurrent,
            unified=model.shape.kv_unified,
        )
        n_slots = min(model.shape.n_seq_max, model.shape.n_outputs_max)
        self._slots = [Slot(sequence) for sequence in range(n_slots)]
        self._waiting: deque[Generation] = deque()
        self._held_up = False
        self._clock = itertools.count(1)
        self._batch = Batch(min(model.n_batch, model.n_ubatch))
        self._logprobs: LogprobReader | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is running or waiting."""
        return bool(self._waiting) or any(slot.generation for slot in self._slots)

    def check_prompt(self, prompt: Sequence[int]) -> None:
        """Raise EngineError for a prompt that cannot be answered in this context."""
        limit = self._model.n_ctx_seq
        if not prompt:
            raise EngineError(
                "Empty prompt", "The prompt has no tokens.", "Write at least one word for the model to go on."
            )
        if len(prompt) >= limit:
            raise EngineError(
                "Prompt too long",
                f"The prompt has {len(prompt):,} tokens; the context of {self._model.name} holds {limit:,}.",
                "Shorten the conversation or load the model with a larger context.",
            )

    def start(self, generation: Generation) -> None:
        """Accept an answer; it begins as soon as a sequence is free."""
        self._waiting.append(generation)

    def cancel(self, request_id: int) -> None:
        """End an answer at the next step."""
        running = (slot.generation for slot in self._slots if slot.generation)
        for generation in itertools.chain(running, self._waiting):
            if generation.request_id == request_id:
                generation.cancelled = True

    def step(self) -> list[TaggedEvent]:
        """Advance every answer by one decode and return what came out."""
        events = self._end_cancelled()
        self._admit()
        rows = self._fill_batch()
        return events + self._decode(rows) if rows else events

    def close(self) -> None:
        """Drop every answer and give the batch back."""
        for generation in (*self._waiting, *(s.generation for s in self._slots if s.generation)):
            generation.chain.free()
        self._waiting.clear()
        self._batch.free()

    def _active(self) -> list[tuple[Slot, Generation]]:
        return [(slot, slot.generation) for slot in self._slots if slot.generation is not None]

    def _end_cancelled(self) -> list[TaggedEvent]:
        events: list[TaggedEvent] = []
        for generation in [g for g in self._waiting if g.cancelled]:
            self._waiting.remove(generation)
            events += _tag(generation, generation.end("cancelled"))
        for slot, generation in self._active():
            if generation.cancelled:
                events += self._finish(slot, generation, "cancelled")
        return events

    def _finish(
        self, slot: Slot, generation: Generation, reason: FinishReason, note: str = ""
    ) -> list[TaggedEvent]:
        slot.generation = None
        slot.used_at = next(self._clock)
        self._held_up = False
        return _tag(generation, generation.end(reason, note))

    def _admit(self) -> None:
        while self._waiting and not self._held_up:
            has_free_slot = any(slot.generation is None for slot in self._slots)
            if not has_free_slot:
                return
            generation = self._waiting.popleft()
            slot = prepare_slot(self._memory, self._slots, generation.tokens)
            generation.begin_prompt(len(slot.cached))
            slot.generation = generation

    def _fill_batch(self) -> list[_Row]:
        """Put the next tokens of all slots into the batch, those that are writing first."""
        batch = self._batch
        batch.clear()
        rows = []
        active = self._active()
        for slot, generation in sorted(active, key=lambda item: len(item[1].tokens) - len(item[0].cached)):
            done = len(slot.cached)
            tokens = generation.tokens[done : done + batch.capacity - len(batch)]
            is_last = done + len(tokens) == len(generation.tokens)
            output = -1
            for offset, token in enumerate(tokens):
                wanted = is_last and offset == len(tokens) - 1
                index = batch.add(token, done + offset, slot.sequence, output=wanted)
                output = index if wanted else output
            if tokens:
                rows.append(_Row(slot, tokens, output))
        return rows

    def _decode(self, rows: list[_Row]) -> list[TaggedEvent]:
        code = C.llama_decode(self._model.context, self._batch.native)
        if code == 0:
            return [event for row in rows for event in self._take(row)]
        for row in rows:
            self._memory.restore(row.slot)
        if code == _ABORTED:
            self._model.abort.clear()
            return []
        if code == _NO_ROOM:
            return self._make_room()
        return self._fail(code)

    def _take(self, row: _Row) -> list[TaggedEvent]:
        """Note a slot's evaluated tokens, and draw its next one where the prompt is complete."""
        slot, generation = row.slot, row.slot.generation
        if generation is None:
            return []
        slot.cached.extend(row.tokens)
        events: list[TaggedEvent] = []
        is_long = generation.n_prompt - generation.n_cached > self._batch.capacity
        if generation.n_drawn == 0 and is_long:
            events = _tag(generation, [PromptProgress(len(slot.cached), generation.n_prompt)])
        return events + self._draw(slot, generation, row.output) if row.output >= 0 else events

    def _draw(self, slot: Slot, generation: Generation, output: int) -> list[TaggedEvent]:
        vocab, request = self._model.vocab, generation.request
        token = generation.chain.sample(self._model.context, output)
        generation.note_drawn()
        if vocab.is_eog(token):
            return self._finish(slot, generation, "stop")
        logprob = None
        if request.logprobs:
            self._logprobs = self._logprobs or LogprobReader(vocab)
            logprob = self._logprobs.read(self._model.context, output, token, request.logprobs)
        events = _tag(generation, generation.add(token, vocab.piece(token), logprob))
        return events + self._end_if_done(slot, generation)

    def _end_if_done(self, slot: Slot, generation: Generation) -> list[TaggedEvent]:
        limit = self._model.n_ctx_seq
        if generation.text.stop_string:
            return self._finish(slot, generation, "stop")
        if generation.n_generated >= generation.request.max_tokens:
            return self._finish(slot, generation, "length")
        if len(generation.tokens) > limit:
            return self._finish(slot, generation, "length", _full(limit))
        return []

    def _make_room(self) -> list[TaggedEvent]:
        """Free cells of a full cache: an idle sequence, else the youngest answer waits, else it ends."""
        idle = [slot for slot in self._slots if slot.generation is None and slot.cached]
        if idle:
            self._memory.drop(min(idle, key=lambda slot: slot.used_at))
            return []
        slot, generation = max(self._active(), key=lambda item: item[1].accepted_at)
        if len(self._active()) == 1:
            return self._finish(slot, generation, "length", _full(self._model.n_ctx_seq))
        self._memory.drop(slot)
        slot.generation = None
        self._waiting.appendleft(generation)
        self._held_up = True
        return []

    def _fail(self, code: int) -> list[TaggedEvent]:
        """End every answer after a decode that llama.cpp gave up, and start from a clean cache."""
        note = f"llama.cpp could not compute the next token (code {code}); the log names the reason."
        events = []
        for slot, generation in self._active():
            events += self._finish(slot, generation, "error", note)
        for slot in self._slots:
            self._memory.drop(slot)
        return events


def _full(n_tokens: int) -> str:
    return f"The context of {n_tokens:,} tokens is full; a new conversation or a larger context goes on."


def _tag(generation: Generation, events: Sequence[GenerateEvent]) -> list[TaggedEvent]:
    return [(generation.request_id, event) for event in events]
