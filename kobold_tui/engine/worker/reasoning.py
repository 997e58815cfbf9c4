"""Tells a model's thinking from its answer while the text streams; the tags themselves are dropped.

Thinking is recognised only at the very beginning, or where the prompt has opened it: a tag that is quoted
later is text. The tags are those of the models' published chat templates: Qwen, DeepSeek and many others
(`<think>`), Seed-OSS, Magistral, Command A, Gemma 4, Apertus, Kimi-VL, and gpt-oss's channels. Text that may
still turn out to be a part of a tag is held back.
"""

from __future__ import annotations

from typing import NamedTuple

Piece = tuple[str, bool]  # text, and whether it is thinking


class Tags(NamedTuple):
    """What begins and ends thinking in one family of models."""

    opening: str
    closing: str


THINK = Tags("<think>", "</think>")
TAGS = (
    THINK,
    Tags("<seed:think>", "</seed:think>"),
    Tags("[THINK]", "[/THINK]"),
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),
    Tags("<|channel>thought", "<channel|>"),
    Tags("<|inner_prefix|>", "<|inner_suffix|>"),
    Tags("◁think▷", "◁/think▷"),
)
_START, _CHANNEL, _MESSAGE, _END = "<|start|>", "<|channel|>", "<|message|>", "<|end|>"
_TO_FINAL = f"{_END}{_START}assistant{_CHANNEL}final{_MESSAGE}"
_LONGEST_HEADER = 256  # characters; what is longer is no header
_HEADERS = (_START, _CHANNEL, _END)
# Tags that vocabularies hold as control tokens, which have no bytes of their own in text.
MARKERS = (
    *(tag for tags in TAGS for tag in tags),
    *("<|channel>", "<channel|>"),
    *(_START, _CHANNEL, _MESSAGE, _END),
)


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
    """Splits the text of one answer; `inside` names the tags that the prompt has opened."""

    def __init__(self, *, inside: Tags | None = None) -> None:
        self._tags = inside or THINK
        self._state = "thinking" if inside else "opening"
        self._held = ""
        self._skip_space = bool(inside)

    @property
    def thinking(self) -> bool:
        """Whether what comes now is thinking."""
        return self._state == "thinking"

    @property
    def reads_markers(self) -> bool:
        """Whether tags still mean something; afterwards they are text like any other."""
        return self._state != "answer"

    @property
    def closing(self) -> str:
        """What the model writes to go over from thinking to the answer."""
        return _TO_FINAL if self._tags.opening == _CHANNEL else self._tags.closing

    def feed(self, text: str) -> list[Piece]:
        """Return pieces of text, each with whether it is thinking."""
        self._held += text
        if self._state == "opening":
            self._open()
        pieces: list[Piece] = []
        while self._state in {"header", "thinking", "channel"}:
            before = self._state, len(self._held)
            pieces += self._read_header() if self._state == "header" else self._read_body()
            if (self._state, len(self._held)) == before:
                return pieces
        return pieces + self._take(len(self._held), reasoning=False) if self._state == "answer" else pieces

    def finish(self) -> list[Piece]:
        """Return what was held back; half a header is nobody's text."""
        if self._state == "header":
            self._held = ""
        return self._take(len(self._held), reasoning=self.thinking)

    def _open(self) -> None:
        begin = self._held.lstrip()
        if begin.startswith(_CHANNEL):
            self._state, self._held, self._tags = "header", begin, Tags(_CHANNEL, _END)
            return
        for tags in TAGS:
            if begin.startswith(tags.opening):
                self._state, self._held, self._tags = "thinking", begin[len(tags.opening) :], tags
                self._skip_space = True
                return
        if not any(opening.startswith(begin) for opening in (_CHANNEL, *(tags.opening for tags in TAGS))):
            self._state = "answer"

    def _read_header(self) -> list[Piece]:
        """Read `<|start|>role<|channel|>name<|message|>` as far as it is there."""
        header, message, rest = self._held.partition(_MESSAGE)
        if message:
            channel = header.rpartition(_CHANNEL)[2].strip()
            self._state = "thinking" if channel.startswith("analysis") else "channel"
            self._held, self._skip_space = rest, True
        elif len(header) > _LONGEST_HEADER:
            self._state = "answer"
        return []

    def _read_body(self) -> list[Piece]:
        """Take text up to the tag that ends it."""
        ends = _HEADERS if self._tags.opening == _CHANNEL else (self._tags.closing,)
        found = [(at, tag) for tag in ends if (at := self._held.find(tag)) >= 0]
        if not found:
            return self._take(len(self._held) - held_back(self._held, ends), reasoning=self.thinking)
        at, tag = min(found)
        pieces = self._take(at, reasoning=self.thinking)
        if self._tags.opening == _CHANNEL:
            self._state = "header"
        else:
            self._state, self._held, self._skip_space = "answer", self._held[len(tag) :], True
        return pieces

    def _take(self, length: int, *, reasoning: bool) -> list[Piece]:
        text, self._held = self._held[:length], self._held[length:]
        if self._skip_space:
            text = text.lstrip()
            self._skip_space = not text
        return [(text, reasoning)] if text else []


def opened_by(prompt: str) -> Tags | None:
    """Return the tags of the thinking that a rendered prompt has begun, None when it has not."""
    end = prompt.rstrip()
    if end.endswith(f"{_CHANNEL}analysis{_MESSAGE}"):
        return Tags(_CHANNEL, _END)
    return next((tags for tags in TAGS if end.endswith(tags.opening)), None)
