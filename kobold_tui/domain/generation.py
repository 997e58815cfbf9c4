"""Requests to a loaded model and what comes back: messages in, a stream of text events out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kobold_tui.domain.sampling import SamplingOptions

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "cancelled", "error"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn as the template sees it; images are encoded files (PNG, JPEG), in the order of the text."""

    role: Role
    content: str
    images: tuple[bytes, ...] = ()


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for text: either `messages`, rendered by the template, or a raw `prompt`.

    `prefill` is text that the answer begins with; it is not sent back. `template_options` are variables of
    the template. `logprobs` asks for the N likeliest alternatives of every token, 0 for none.
    With `context_shift` a full context drops the oldest half of what follows its first `n_keep` tokens, and
    the answer goes on; `n_keep` None keeps the system message, and at least four tokens.
    `reasoning_budget` is the most tokens of thinking, after which the closing tag is written for the model;
    None is no limit, and a grammar leaves no room for thinking, so that none is counted.
    `state_file` keeps the evaluated conversation on disk: it is read before and written after the answer.
    With `ignore_eos` a token that ends an answer ends nothing, so that exactly `max_tokens` come.
    """

    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    sampling: SamplingOptions = SamplingOptions()
    max_tokens: Annotated[int, Meta(ge=1)] = 2048
    stop: tuple[str, ...] = ()
    prefill: str = ""
    template_options: dict[str, bool | int | float | str] = {}
    tools_json: Annotated[str, Meta(description="JSON list of tools for the template; empty is none")] = ""
    logprobs: Annotated[int, Meta(ge=0, le=100)] = 0
    context_shift: bool = True
    n_keep: Annotated[int, Meta(ge=0)] | None = None
    reasoning_budget: Annotated[int, Meta(ge=0)] | None = None
    state_file: str = ""
    ignore_eos: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and times of one answer; speeds are tokens per second of their own phase.

    `cached_tokens` of the prompt were still in the cache and cost nothing.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds_to_first_token: float | None = None
    prompt_tokens_per_second: float | None = None
    tokens_per_second: float | None = None


class PromptProgress(msgspec.Struct, frozen=True, tag=True):
    """Prompt tokens evaluated so far, of how many."""

    done: int
    total: int


class TokenLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A token with its natural-log probability and the likeliest alternatives, best first."""

    token: int
    text: str
    logprob: float
    alternatives: tuple[tuple[int, str, float], ...] = ()


class TextDelta(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """More text: valid UTF-8, `n_tokens` tokens long; `reasoning` marks the model's thinking."""

    text: str
    n_tokens: int = 1
    reasoning: bool = False
    logprobs: tuple[TokenLogprob, ...] = ()


class Finished(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The end of an answer; nothing follows. `note` tells a reader what happened, such as a full context."""

    reason: FinishReason
    usage: Usage = Usage()
    stop_string: str = ""
    note: str = ""


GenerateEvent = PromptProgress | TextDelta | Finished


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A query and documents to score; a document that is too long is an error unless `truncate`."""

    query: str
    documents: tuple[str, ...]
    truncate: bool = False


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How relevant each document is, in the order of the request: a reranker's raw output, higher is better.

    `token_counts` are those of query and document together, as they were evaluated.
    """

    scores: tuple[float, ...]
    token_counts: tuple[int, ...]


class RenderedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt as the model sees it, and its tokens."""

    text: str
    tokens: tuple[int, ...]


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to turn into vectors; a text longer than the context is an error unless `truncate`."""

    texts: tuple[str, ...]
    normalize: bool = True
    truncate: bool = False


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors as little-endian float32, row by row: shape (number of texts, n_embd).

    `token_counts` has one number a text, or none at all where an endpoint does not tell.
    """

    n_embd: int
    pooling: str
    normalized: bool
    token_counts: tuple[int, ...]
    vectors: bytes
    note: str = ""
