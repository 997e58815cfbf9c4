"""Bytes of tokens become text that can be shown: whole characters, no stop string, thinking set apart.

Text that may still turn out to be the beginning of a stop string or of a tag is held back.
"""

from __future__ import annotations

import codecs

from kobold_tui.domain.generation import TextDelta, TokenLogprob

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"


def held_back(text: str, markers: tuple[str, ...]) -> int:
    """Return how many characters at the end of `text` could be the beginning of a marker."""
    longest = 0
    for marker in markers:
        for length in range(min(len(marker) - 1, len(text)), longest, -1):
            if text.endswith(marker[:length]):
                longest = length
                break
    return longest


class ReasoningSplit:
    """Tells thinking from answer by `<think>` at the very beginning; the tags themselves are dropped."""

    def __init__(self, *, inside: bool = False) -> None:
        self._state = "thinking" if inside else "opening"
        self._held = ""
        self._skip_space = inside

    def feed(self, text: str) -> list[tuple[str, bool]]:
        """Return pieces of text, each with whether it is thinking."""
        self._held += text
        if self._state == "opening":
            self._open()
        if self._state == "thinking":
            return self._think()
        if self._state == "answer":
            return self._take(len(self._held), reasoning=False)
        return []

    def finish(self) -> list[tuple[str, bool]]:
        """Return what was held back."""
        return self._take(len(self._held), reasoning=self._state == "thinking")

    def _open(self) -> None:
        begin = self._held.lstrip()
        if begin.startswith(THINK_OPEN):
            self._state, self._held, self._skip_space = "thinking", begin[len(THINK_OPEN) :], True
        elif not THINK_OPEN.startswith(begin):
            self._state = "answer"

    def _think(self) -> list[tuple[str, bool]]:
        thought, tag, rest = self._held.partition(THINK_CLOSE)
        if not tag:
            return self._take(len(thought) - held_back(thought, (THINK_CLOSE,)), reasoning=True)
        pieces = self._take(len(thought), reasoning=True)
        self._state, self._held, self._skip_space = "answer", rest, True
        return pieces + self._take(len(rest), reasoning=False)

    def _take(self, length: int, *, reasoning: bool) -> list[tuple[str, bool]]:
        text, self._held = self._held[:length], self._held[length:]
        if self._skip_space:
            text = text.lstrip()
            self._skip_space = not text
        return [(text, reasoning)] if text else []


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
