"""What a stand-in for a model does: its answers, and the faults that it commits on demand.

Shared by `FakeEngine` and by the scripted backend inside a real worker process, so that both answer alike:
a token is a word with the blanks before it, a token id is a byte of UTF-8, and vectors come from a hash.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kobold_tui.domain.errors import EngineError, Failure
from kobold_tui.domain.generation import (
    Embeddings,
    EmbedRequest,
    Finished,
    FinishReason,
    GenerateEvent,
    GenerateRequest,
    Message,
    RenderedPrompt,
    RerankRequest,
    Scores,
    TextDelta,
    Usage,
)
from kobold_tui.domain.instance import LoadSpec, ModelInfo
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate

BOS = 256
"""Id of the token that begins a text; the ids below are bytes."""

FaultKind = Literal["abort", "segfault", "kill", "exit", "hang", "freeze", "garbage"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model's process goes wrong.

    `hang` never returns while the process still reads its wire, `freeze` stops every thread of it, `garbage`
    writes something onto the wire that is no frame. `output` is written to standard error first.
    """

    kind: FaultKind
    exit_code: int = 1
    output: str = ""


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stand-in for a model; the default one loads at once and echoes what it is told."""

    reply: Annotated[str, Meta(description="Answer to everything; empty echoes the last message.")] = ""
    replies: Annotated[dict[str, str], Meta(description="Answers by the text of the last message.")] = {}
    repeat: Annotated[int, Meta(ge=1, description="How many times an answer is given in a row.")] = 1
    n_embd: Annotated[int, Meta(ge=1)] = 16
    n_layer: Annotated[int, Meta(ge=1)] = 1
    offloads: Annotated[bool, Meta(description="Say that layers are on a card, as the options want.")] = False
    load_steps: Annotated[int, Meta(ge=1, description="Reports of progress while loading.")] = 3
    hold_load: Annotated[bool, Meta(description="Wait for the release after the first step.")] = False
    hold_answer_after: Annotated[
        int | None, Meta(description="Wait for the release after that many tokens of every answer.")
    ] = None
    release_file: Annotated[str, Meta(description="Its existence is the release (worker process).")] = ""
    check_path: Annotated[bool, Meta(description="Refuse a model file that is not there.")] = False
    refuse_load: Failure | None = None
    refuse_answer: Failure | None = None
    at_start: Fault | None = None
    at_load: Fault | None = None
    at_answer: Fault | None = None
    after_tokens: Annotated[int, Meta(ge=0, description="Tokens of an answer before `at_answer`.")] = 0
    noise: Annotated[bytes, Meta(description="Written to standard error while loading.")] = b""
    noise_repeat: Annotated[int, Meta(ge=1)] = 1
    ignore_terminate: Annotated[bool, Meta(description="SIGTERM does nothing (worker process).")] = False
    ignore_unload: Annotated[bool, Meta(description="Unloading never returns (worker process).")] = False


def refusal(script: Script, spec: LoadSpec) -> Failure | None:
    """Return why the stand-in does not load `spec`, None where it does."""
    if script.refuse_load is not None:
        return script.refuse_load
    if script.check_path and not Path(spec.path).is_file():
        return Failure(
            title="The model cannot be loaded",
            message=f"{spec.path} does not exist.",
            hint="Check the path.",
        )
    return None


def answer_tokens(script: Script, request: GenerateRequest) -> list[str]:
    """Return the pieces of the whole answer, before `max_tokens` cuts it."""
    asked = request.prompt if request.prompt is not None else ""
    if request.messages:
        asked = request.messages[-1].content
    text = script.replies.get(asked, script.reply or asked)
    return re.findall(r"\s*\S+|\s+\Z", text) * script.repeat


class Playback:
    """One answer being given, token by token."""

    def __init__(self, script: Script, request: GenerateRequest) -> None:
        self._script = script
        self._request = request
        self._tokens = answer_tokens(script, request)
        self._sent = 0

    def advance(self, *, released: bool) -> GenerateEvent | Fault | None:
        """Return what comes next; None while the answer is held."""
        script = self._script
        if script.at_answer is not None and self._sent == script.after_tokens:
            return script.at_answer
        if self._sent == script.hold_answer_after and not released:
            return None
        if self._sent == min(len(self._tokens), self._request.max_tokens):
            return self.finished("stop" if self._sent == len(self._tokens) else "length")
        self._sent += 1
        return TextDelta(text=self._tokens[self._sent - 1])

    def finished(self, reason: FinishReason) -> Finished:
        """Return the end of the answer as it stands."""
        usage = Usage(prompt_tokens=prompt_tokens(self._request), completion_tokens=self._sent)
        return Finished(reason=reason, usage=usage)


def prompt_tokens(request: GenerateRequest) -> int:
    """Return the number of tokens that the prompt counts."""
    return (
        len(request.prompt.encode()) if request.prompt is not None else len(render(request.messages).tokens)
    )


def tokenize(text: str, *, add_special: bool) -> tuple[int, ...]:
    """Return the bytes of a text, after `BOS` where special tokens are wanted."""
    return (*((BOS,) if add_special else ()), *text.encode())


def detokenize(tokens: Sequence[int]) -> str:
    """Return the text of bytes; other ids have none."""
    return bytes(token for token in tokens if 0 <= token < BOS).decode(errors="replace")


def render(messages: Sequence[Message]) -> RenderedPrompt:
    """Return a prompt with one line for each message."""
    text = "".join(f"<{message.role}>{message.content}\n" for message in messages) + "<assistant>"
    return RenderedPrompt(text=text, tokens=tokenize(text, add_special=True))


def embed(script: Script, request: EmbedRequest) -> Embeddings:
    """Return vectors of shape (texts, n_embd) that depend on nothing but the texts."""
    rows = [_vector(text, script.n_embd, normalize=request.normalize) for text in request.texts]
    return Embeddings(
        n_embd=script.n_embd,
        pooling="mean",
        normalized=request.normalize,
        token_counts=tuple(len(text.encode()) for text in request.texts),
        vectors=b"".join(rows),
    )


def rerank(request: RerankRequest) -> Scores:
    """Return the share of a query's words that each document has."""
    words = set(request.query.lower().split())
    return Scores(
        scores=tuple(
            len(words & set(text.lower().split())) / max(len(words), 1) for text in request.documents
        ),
        token_counts=tuple(len((request.query + text).encode()) for text in request.documents),
    )


def check_lora(spec: LoadSpec | None, scales: Sequence[float]) -> None:
    """Raise EngineError unless there is one scale for each adapter of `spec`."""
    adapters = spec.options.lora if spec else ()
    if len(scales) != len(adapters):
        raise EngineError(
            "Wrong number of scales",
            f"{len(scales)} scales were given for {len(adapters)} LoRA adapters.",
            "Give one scale for each adapter, in the order they were loaded.",
        )


def model_info(script: Script, spec: LoadSpec) -> ModelInfo:
    """Return what a loaded stand-in says of itself."""
    options = spec.options
    return ModelInfo(
        name=Path(spec.path).stem,
        architecture="scripted",
        description="a stand-in without weights",
        n_parameters=0,
        size_bytes=0,
        n_ctx=8192 if options.n_ctx == "auto" else options.n_ctx,
        n_ctx_train=8192,
        n_embd=script.n_embd,
        n_vocab=BOS + 1,
        n_layer=script.n_layer,
        n_gpu_layers=_gpu_layers(script, spec),
        n_seq_max=options.n_seq_max,
        n_threads=1,
        has_chat_template=True,
        has_encoder_only=False,
        pooling="mean",
        can_shift=False,
        gpu_offload_supported=script.offloads,
        devices=("CUDA0", "CPU") if script.offloads else ("CPU",),
        seconds_to_load=0.0,
        llama_cpp_version="",
    )


def _gpu_layers(script: Script, spec: LoadSpec) -> int:
    if not script.offloads:
        return 0
    wanted, most = spec.options.n_gpu_layers, script.n_layer + 1
    return most if wanted == "auto" else min(wanted, most)


def memory(script: Script, spec: LoadSpec) -> MemoryEstimate:
    """Return the memory of the stand-in. Raises EngineError for what it would not load."""
    refused = refusal(script, spec)
    if refused is not None:
        raise EngineError(refused.title, refused.message, refused.hint)
    host = DeviceMemory(name="CPU", kv_bytes=model_info(script, spec).n_ctx * script.n_embd, is_host=True)
    return MemoryEstimate(n_gpu_layers=0, n_layer=1, devices=(host,), exact=True)


def _vector(text: str, n_embd: int, *, normalize: bool) -> bytes:
    digest = hashlib.shake_256(text.encode()).digest(n_embd)
    values = [byte - 127.5 for byte in digest]
    length = math.hypot(*values) if normalize else 1.0
    return struct.pack(f"<{n_embd}f", *(value / length for value in values))
