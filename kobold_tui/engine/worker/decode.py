"""Continuous batching: every running answer advances by each decode, on its own sequence of one context.

A decode holds one token of each answer that is being written, with the tokens guessed to follow it, and, up
to n_ubatch tokens in all, pieces of the prompts that are being read; it is never larger, so that a cancel
takes effect soon. Answers beyond the number of sequences wait. When the shared cache is full, idle sequences
are forgotten first, then the youngest answer waits with its text intact until another one has ended.

The same request with the same seed gives the same text in any slot and beside any others, as far as llama.cpp
computes each row of a batch independently of the rest. It does for unquantised weights on a CPU without flash
attention. Flash attention sums the cache in tiles that depend on where its cells lie; quantised weights and
GPUs take different kernels for one row and for several; a shifted cache is rounded anew. There the last
digits differ, and now and then a token.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import FinishReason, GenerateEvent, PromptProgress
from kobold_tui.engine.worker.batch import Batch
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.context_shift import ContextShift
from kobold_tui.engine.worker.generation import Generation
from kobold_tui.engine.worker.logprobs import LogprobReader
from kobold_tui.engine.worker.lookup import PromptLookup
from kobold_tui.engine.worker.model import Model
from kobold_tui.engine.worker.reasoning import MARKERS
from kobold_tui.engine.worker.rows import Row, fill, usable_draft
from kobold_tui.engine.worker.slots import SequenceMemory, Slot, prepare_slot
from kobold_tui.engine.worker.state_files import StateFiles

_NO_ROOM, _ABORTED = 1, 2  # llama_decode's return values in llama.h
_NO_CHOICE = "The answer ended here: of all that the grammar allows next the model can write nothing."
TaggedEvent = tuple[int, GenerateEvent]


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
        self._shift = ContextShift(model, self._memory, self._slots)
        self._states = StateFiles(model, self._memory, self._slots)
        self._waiting: deque[Generation] = deque()
        self._held_up = self._no_drafts = self._must_end = False
        self._clock = itertools.count(1)
        self._batch = Batch(min(model.n_batch, model.n_ubatch))
        self._logprobs: LogprobReader | None = None
        self._markers = model.vocab.control_tokens(MARKERS)
        self._n_draft = usable_draft(model)

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
        if self._n_draft:
            generation.lookup = PromptLookup(self._n_draft)
        self._waiting.append(generation)

    def cancel(self, request_id: int) -> None:
        """End an answer at the next step."""
        running = (slot.generation for slot in self._slots if slot.generation)
        for generation in itertools.chain(running, self._waiting):
            if generation.request_id == request_id:
                generation.cancelled = True

    def step(self) -> list[TaggedEvent]:
        """Advance every answer by one decode and return what came out."""
        events = self._end_cancelled() + self._admit() + self._make_windows()
        self._batch.clear()
        n_ctx, drafting = self._model.n_ctx_seq, not self._no_drafts
        rows = fill(self._batch, self._active(), n_ctx=n_ctx, drafting=drafting)
        return events + self._decode(rows) if rows else events

    def forget_all(self) -> None:
        """Forget what idle sequences keep, because the model's answers have changed."""
        for slot in self._slots:
            if slot.generation is None:
                self._memory.drop(slot)

    def close(self) -> None:
        """Drop every answer."""
        for generation in (*self._waiting, *(s.generation for s in self._slots if s.generation)):
            generation.chain.free()
        self._waiting.clear()

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
        self._held_up = self._no_drafts = False
        if generation.request.state_file and reason != "error":
            generation.notes.append(self._states.save(slot, generation.request.state_file))
        return _tag(generation, generation.end(reason, note))

    def _admit(self) -> list[TaggedEvent]:
        events: list[TaggedEvent] = []
        while self._waiting and not self._held_up:
            has_free_slot = any(slot.generation is None for slot in self._slots)
            if not has_free_slot:
                break
            generation = self._waiting.popleft()
            events += self._close_thinking(generation)
            if reason := generation.done:
                events += _tag(generation, generation.end(reason))
                continue
            slot = prepare_slot(self._memory, self._slots, generation.tokens)
            state_file = generation.request.state_file
            if state_file and generation.prompt_started_at is None:
                generation.notes.append(self._states.restore(slot, generation.tokens, state_file))
            generation.begin_prompt(len(slot.cached))
            slot.generation = generation
        return events

    def _make_windows(self) -> list[TaggedEvent]:
        """Shorten the conversations that have filled their window, or end their answers."""
        events: list[TaggedEvent] = []
        limit = self._model.n_ctx_seq
        for slot, generation in self._active():
            while len(generation.tokens) > limit:
                if not self._shift.make_room(slot, generation):
                    events += self._finish(slot, generation, "length", _full(limit))
                    break
                self._must_end = True
        return events

    def _decode(self, rows: list[Row]) -> list[TaggedEvent]:
        code = self._run_batch()
        if code == 0:
            return [event for row in rows for event in self._take(row)]
        for row in rows:
            self._memory.recover(row.slot, row.tokens)
        if code == _ABORTED:
            self._model.abort.clear()
            return []
        if code == _NO_ROOM:
            self._no_drafts = True
            return [] if any(row.draft for row in rows) else self._make_room()
        return self._fail(code)

    def _run_batch(self) -> int:
        """Decode the batch. One that first rotates the keys of a moved window must end.

        llama.cpp rotates them all again after an abort, those too that it had rotated before.
        """
        context, abort = self._model.context, self._model.abort
        if self._must_end:
            abort.detach(context)
        code = int(C.llama_decode(context, self._batch.native))
        if self._must_end:
            abort.attach(context)
            self._must_end = False
        return code

    def _take(self, row: Row) -> list[TaggedEvent]:
        """Note a slot's evaluated tokens, and draw what follows where the prompt is complete."""
        slot, generation = row.slot, row.slot.generation
        if generation is None:
            return []
        slot.cached.extend(row.tokens)
        events: list[TaggedEvent] = []
        total = generation.n_prompt
        is_long = total - generation.n_cached > self._batch.capacity
        if generation.n_drawn == 0 and is_long:
            events = _tag(generation, [PromptProgress(min(len(slot.cached), total), total)])
        if row.output < 0:
            return events
        if row.draft:
            return events + self._draw_draft(row, generation)
        return events + self._draw(slot, generation, row.output)

    def _draw_draft(self, row: Row, generation: Generation) -> list[TaggedEvent]:
        """Draw from each row of logits as long as what was drawn is what was guessed."""
        slot, n_sure = row.slot, len(row.slot.cached)
        events = self._draw(slot, generation, row.output)
        for offset, guess in enumerate(row.draft, 1):
            position = len(slot.cached)
            if slot.generation is None or generation.tokens[position:] != [guess]:
                break
            slot.cached.append(guess)
            events += self._draw(slot, generation, row.output + offset)
        if generation.lookup is not None:
            generation.lookup.note_result(len(row.draft), len(slot.cached) - n_sure)
        self._memory.keep(slot, len(slot.cached))
        return events

    def _draw(self, slot: Slot, generation: Generation, output: int) -> list[TaggedEvent]:
        vocab, request = self._model.vocab, generation.request
        token = generation.chain.sample(self._model.context, output)
        generation.note_drawn()
        if generation.chain.stuck:
            return self._finish(slot, generation, "stop", _NO_CHOICE)
        if vocab.is_eog(token) and not request.ignore_eos:
            return self._finish(slot, generation, "stop")
        logprob = None
        if request.logprobs:
            self._logprobs = self._logprobs or LogprobReader(vocab)
            logprob = self._logprobs.read(self._model.context, output, token, request.logprobs)
        events = _tag(generation, generation.add(token, self._piece(generation, token), logprob))
        events += self._close_thinking(generation)
        reason = generation.done
        return events + self._finish(slot, generation, reason) if reason else events

    def _piece(self, generation: Generation, token: int) -> bytes:
        """Return a token's bytes; the tags of thinking have some as long as they are looked for."""
        piece = self._model.vocab.piece(token)
        if piece or not generation.text.reads_markers:
            return piece
        return self._markers.get(token, b"")

    def _close_thinking(self, generation: Generation) -> list[TaggedEvent]:
        """Write the end of the thinking in the model's place once its budget is used up."""
        closing = generation.take_closing()
        events: list[TaggedEvent] = []
        tokens = self._model.vocab.tokenize(closing, add_special=False, parse_special=True) if closing else []
        for token in tokens[: generation.request.max_tokens - generation.n_generated]:
            generation.chain.accept(token)
            events += _tag(generation, generation.add(token, self._piece(generation, token), None))
        return events

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
