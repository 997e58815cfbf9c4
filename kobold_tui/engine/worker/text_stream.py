"""Bytes of tokens become text that can be shown: whole characters, no stop string, thinking set apart.

Text that may still turn out to be the beginning of a stop string is held back.
"""

from __future__ import annotations

import codecs

from kobold_tui.domain.generation import TextDelta, TokenLogprob
from kobold_tui.engine.worker.reasoning import ReasoningSplit, held_back


class TextStream:
    """Turns the pieces of one answer into deltas; once `stop_string` is set nothing more comes out."""

    def __init__(self, stop: tuple[str, ...], split: ReasoningSplit | None) -> None:
        self.stop_string = ""
        self._stop = tuple(text for text in stop if text)
        self._split = split
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._n_tokens = 0
        self._logprobs: list[TokenLogprob] = []

    @property
    def thinking(self) -> bool:
        """Whether the answer is at its thinking."""
        return self._split is not None and self._split.thinking

    @property
    def reads_markers(self) -> bool:
        """Whether control tokens that are thinking tags must be fed with their text."""
        return self._split is not None and self._split.reads_markers

    @property
    def closing(self) -> str:
        """What ends the thinking."""
        return self._split.closing if self._split is not None else ""

    def feed(self, piece: bytes, logprob: TokenLogprob | None = None) -> list[TextDelta]:
        """Add one token's bytes and return the text that is certain now."""
        self._n_tokens += 1
        if logprob is not None:
            self._logprobs.append(logprob)
        pending = self._held + self._decoder.decode(piece)
        hits = [(at, text) for text in self._stop if (at := pending.find(text)) >= 0]
        if hits:
            at, self.stop_string = min(hits)
            self._held = ""
            return self._deltas(pending[:at])
        keep = held_back(pending, self._stop)
        self._held = pending[len(pending) - keep :]
        return self._deltas(pending[: len(pending) - keep])

    def finish(self) -> list[TextDelta]:
        """Return what was held back; bytes of an unfinished character become U+FFFD."""
        tail = "" if self.stop_string else self._held + self._decoder.decode(b"", final=True)
        self._held = ""
        pieces = self._split_text(tail) + (self._split.finish() if self._split else [])
        return self._make(pieces)

    def _split_text(self, text: str) -> list[tuple[str, bool]]:
        if self._split is not None:
            return self._split.feed(text)
        return [(text, False)] if text else []

    def _deltas(self, text: str) -> list[TextDelta]:
        return self._make(self._split_text(text))

    def _make(self, pieces: list[tuple[str, bool]]) -> list[TextDelta]:
        deltas = []
        for text, reasoning in pieces:
            logprobs = tuple(self._logprobs)
            deltas.append(
                TextDelta(text=text, n_tokens=self._n_tokens, reasoning=reasoning, logprobs=logprobs)
            )
            self._n_tokens = 0
            self._logprobs.clear()
        return deltas
