"""Texts to vectors: several texts in one batch, one sequence each, pooled by llama.cpp.

llama.cpp ends the process when a text is longer than its micro-batch or its position table, so every length
is checked here first. On a CPU small batches are faster, because attention runs over the whole batch.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Iterator, Sequence

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import Embeddings, EmbedRequest
from kobold_tui.engine.worker import bindings, load_params
from kobold_tui.engine.worker.backend import IsCancelled
from kobold_tui.engine.worker.batch import Batch
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.model import Model, make_context

_CPU_BATCH_TOKENS = 256
_SECOND_CONTEXT_TOKENS = 512
_SECOND_CONTEXT_SEQUENCES = 8
Vector = tuple[float, ...]


class Embedder:
    """Computes vectors with an embedding model, or with a second small context on a chat model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.note = ""
        self._owns_context = not model.shape.embeddings
        self._shape = self._second_shape() if self._owns_context else model.shape
        self._context = model.context
        if self._owns_context:
            self.note = f"{model.name} is a chat model: its vectors are means over its last layer."
            self._context = make_context(model.spec, model.weights, self._shape)
            model.share_adapters(self._context)
            model.abort.attach(self._context)
        self._memory = C.llama_get_memory(self._context)
        self._limit: int = min(model.weights.n_ctx_train, C.llama_n_ubatch(self._context))
        self._batch = Batch(min(C.llama_n_batch(self._context), C.llama_n_ubatch(self._context)))
        on_gpu = load_params.requested_gpu_layers(model.spec.options) > 0 and bindings.gpu_names()
        self._room = self._batch.capacity if on_gpu else min(self._batch.capacity, _CPU_BATCH_TOKENS)
        self.pooling = load_params.POOLING_NAMES.get(C.llama_pooling_type(self._context), "none")
        handle = model.weights.handle
        self._width = C.llama_model_n_cls_out(handle) if self.pooling == "rank" else model.weights.n_embd_out
        self._floats = struct.Struct(f"={self._width}f")

    def _second_shape(self) -> load_params.ContextShape:
        size = min(_SECOND_CONTEXT_TOKENS, self._model.weights.n_ctx_train)
        pooling = load_params.POOLING_TYPES[self._model.spec.options.pooling]
        return msgspec.structs.replace(
            self._model.shape,
            n_ctx=size,
            n_batch=size,
            n_ubatch=size,
            n_seq_max=_SECOND_CONTEXT_SEQUENCES,
            n_outputs_max=0,
            kv_unified=True,
            embeddings=True,
            pooling=pooling if pooling > 0 else load_params.POOLING_TYPES["mean"],
        )

    @property
    def limit(self) -> int:
        """Tokens that a text may have."""
        return self._limit

    def embed(self, request: EmbedRequest, cancelled: IsCancelled) -> Embeddings:
        """Return one vector for each text. Raises EngineError that names a text that is too long."""
        if self.pooling == "none":
            raise EngineError(
                "No pooling",
                f"{self._model.name} was loaded with pooling none, which gives a vector for every token.",
                "Load it with pooling mean, cls or last.",
            )
        texts = [self._tokens(number, text, request) for number, text in enumerate(request.texts, 1)]
        normalize = request.normalize and self.pooling != "rank"
        as_bytes = struct.Struct(f"<{self._width}f").pack
        rows = [
            as_bytes(*_of_length_one(vector)) if normalize else as_bytes(*vector)
            for vector in self.vectors(texts, cancelled)
        ]
        return Embeddings(
            n_embd=self._width,
            pooling=self.pooling,
            normalized=normalize,
            token_counts=tuple(len(tokens) for tokens in texts),
            vectors=b"".join(rows),
            note=self.note,
        )

    def vectors(self, texts: Sequence[list[int]], cancelled: IsCancelled) -> Iterator[Vector]:
        """Yield the pooled output of every tokenised text, in order; no text may be longer than `limit`."""
        for group in self.groups(texts):
            if cancelled():
                raise EngineError("Embedding cancelled", "The embedding was cancelled.")
            yield from self._evaluate(group)

    def close(self) -> None:
        """Give the context back where it is this object's own."""
        if self._owns_context:
            C.llama_free(self._context)

    def _tokens(self, number: int, text: str, request: EmbedRequest) -> list[int]:
        vocab = self._model.vocab
        tokens = vocab.tokenize(text, add_special=True, parse_special=False)
        if not tokens:
            tokens = [max(vocab.bos, vocab.eos, 0)]
        if len(tokens) <= self._limit:
            return tokens
        if not request.truncate:
            raise EngineError(
                "Text too long",
                f"Text {number} ({text[:40]!r}…) has {len(tokens):,} tokens; "
                f"{self._model.name} takes {self._limit:,}.",
                "Shorten it, allow truncation, or load the model with a larger micro-batch (n_ubatch).",
            )
        ends_special = C.llama_vocab_is_control(vocab.handle, tokens[-1])
        return [*tokens[: self._limit - 1], tokens[-1]] if ends_special else tokens[: self._limit]

    def groups(self, texts: Sequence[list[int]]) -> Iterator[list[list[int]]]:
        """Pack texts, in order, into batches that the context can take at once."""
        group: list[list[int]] = []
        size = 0
        for tokens in texts:
            if group and (size + len(tokens) > self._room or len(group) == self._shape.n_seq_max):
                yield group
                group, size = [], 0
            group.append(tokens)
            size += len(tokens)
        if group:
            yield group

    def _evaluate(self, group: Sequence[list[int]]) -> list[Vector]:
        self._batch.clear()
        for sequence, tokens in enumerate(group):
            self._batch.add_text(tokens, sequence)
        code = self._decode()
        if code:
            raise EngineError(
                "Embedding failed",
                f"{self._model.name} could not compute the vectors (llama.cpp's code {code}).",
                "The log pane names the reason.",
            )
        return [self._read(sequence) for sequence in range(len(group))]

    def _decode(self) -> int:
        """Evaluate the batch; again when a cancel that was meant for another request broke it off."""
        code = 2
        while code == 2:
            if self._memory:
                C.llama_memory_clear(self._memory, True)
            self._model.abort.clear()
            code = C.llama_decode(self._context, self._batch.native)
        return int(code)

    def _read(self, sequence: int) -> Vector:
        pointer = C.llama_get_embeddings_seq(self._context, sequence)
        if not pointer:
            raise EngineError("Embedding failed", f"{self._model.name} gave no vector for a text.")
        return self._floats.unpack(ctypes.string_at(pointer, self._floats.size))


def _of_length_one(vector: Vector) -> Vector:
    """Return a vector of the same direction and of length 1; a zero vector stays as it is."""
    norm = math.hypot(*vector)
    if norm <= 0:
        return vector
    factor = 1 / norm
    return tuple([value * factor for value in vector])
