"""Frames between the program and a worker: a 4-byte big-endian length, then one tagged struct in msgpack.

Every request carries an `id` chosen by the sender; every reply repeats it. `Hello` and `Log` have none.
The frame limit bounds what a broken or hostile peer can make the other side allocate.
"""

from __future__ import annotations

import msgspec

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.generation import (
    Embeddings,
    EmbedRequest,
    GenerateEvent,
    GenerateRequest,
    Message,
    RerankRequest,
    Scores,
)
from kobold_tui.domain.instance import LoadPhase, LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.virtual_card import PlannerCapabilities, VirtualCard

HEADER_BYTES = 4
MAX_FRAME_BYTES = 256 * 1024 * 1024
PROTOCOL_VERSION = 1


class FrameError(Exception):
    """The peer sent something that is not a frame of this protocol."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the worker."""

    id: int


class Load(Request, frozen=True, tag="load", kw_only=True):
    """Load a model; answered by `Progress` frames and then `Loaded` or `Refused`."""

    spec: LoadSpec


class Generate(Request, frozen=True, tag="generate", kw_only=True):
    """Generate text; answered by `Event` frames, the last one holding `Finished`, or by `Refused`."""

    request: GenerateRequest


class Cancel(Request, frozen=True, tag="cancel", kw_only=True):
    """Stop the request `target` (a load, a generation, an embedding); has no answer of its own."""

    target: int


class Embed(Request, frozen=True, tag="embed", kw_only=True):
    """Turn texts into vectors; answered by `Embedded`."""

    request: EmbedRequest


class Rerank(Request, frozen=True, tag="rerank", kw_only=True):
    """Score documents by a query; answered by `Reranked`."""

    request: RerankRequest


class SetLora(Request, frozen=True, tag="set_lora", kw_only=True):
    """Change the scales of the loaded LoRA adapters, in their order; answered by `Done`."""

    scales: tuple[float, ...]


class Tokenize(Request, frozen=True, tag="tokenize", kw_only=True):
    """Text to token ids; answered by `Tokens`."""

    text: str
    add_special: bool = False
    parse_special: bool = False


class Detokenize(Request, frozen=True, tag="detokenize", kw_only=True):
    """Token ids to text; answered by `Text`."""

    tokens: tuple[int, ...]


class Render(Request, frozen=True, tag="render", kw_only=True):
    """Messages to a prompt; answered by `Rendered`."""

    messages: tuple[Message, ...]
    template_options: dict[str, bool | int | float | str] = {}
    tools_json: str = ""


class DryRun(Request, frozen=True, tag="dry_run", kw_only=True):
    """Memory that a load would take; answered by `Memory`.

    A planner takes `cards` to plan for in place of the devices of its machine; other workers refuse them.
    """

    spec: LoadSpec
    cards: tuple[VirtualCard, ...] | None = None


class Unload(Request, frozen=True, tag="unload", kw_only=True):
    """Free the model and end the process; answered by `Done` just before the end."""


class Ping(Request, frozen=True, tag="ping", kw_only=True):
    """Answered by `Done` from the reader thread, whatever the model is doing."""


AnyRequest = (
    Load
    | Generate
    | Cancel
    | Embed
    | Rerank
    | SetLora
    | Tokenize
    | Detokenize
    | Render
    | DryRun
    | Unload
    | Ping
)


class Hello(msgspec.Struct, frozen=True, tag="hello", kw_only=True):
    """First frame of a worker: its process, protocol and the llama.cpp build it found.

    `planner` is what a planner's self-test found; other workers make none.
    """

    pid: int
    protocol: int = PROTOCOL_VERSION
    llama_cpp_version: str = ""
    gpu_offload_supported: bool = False
    devices: tuple[str, ...] = ()
    planner: PlannerCapabilities | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply to the request `id`."""

    id: int


class Progress(Reply, frozen=True, tag="progress", kw_only=True):
    """How far a load is; `fraction` None where a percentage would mean nothing."""

    phase: LoadPhase
    fraction: float | None = None


class Loaded(Reply, frozen=True, tag="loaded", kw_only=True):
    """The model is ready."""

    info: ModelInfo


class Event(Reply, frozen=True, tag="event", kw_only=True):
    """A piece of an answer."""

    event: GenerateEvent


class Embedded(Reply, frozen=True, tag="embedded", kw_only=True):
    """Vectors."""

    embeddings: Embeddings


class Reranked(Reply, frozen=True, tag="reranked", kw_only=True):
    """Scores."""

    scores: Scores


class Tokens(Reply, frozen=True, tag="tokens", kw_only=True):
    """Token ids."""

    tokens: tuple[int, ...]


class Text(Reply, frozen=True, tag="text", kw_only=True):
    """Text of token ids."""

    text: str


class Rendered(Reply, frozen=True, tag="rendered", kw_only=True):
    """A prompt as the model sees it."""

    text: str
    tokens: tuple[int, ...]


class Memory(Reply, frozen=True, tag="memory", kw_only=True):
    """Result of a dry run."""

    estimate: MemoryEstimate


class Done(Reply, frozen=True, tag="done", kw_only=True):
    """The request was carried out and has nothing to say."""


class Refused(Reply, frozen=True, tag="refused", kw_only=True):
    """The request failed; the worker lives on."""

    failure: Failure


AnyReply = (
    Hello
    | Progress
    | Loaded
    | Event
    | Embedded
    | Reranked
    | Tokens
    | Text
    | Rendered
    | Memory
    | Done
    | Refused
)

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[AnyRequest] = msgspec.msgpack.Decoder(AnyRequest)
_reply_decoder: msgspec.msgpack.Decoder[AnyReply] = msgspec.msgpack.Decoder(AnyReply)


def encode(frame: AnyRequest | AnyReply) -> bytes:
    """Return the frame with its length in front. Raises FrameError above `MAX_FRAME_BYTES`."""
    body = _encoder.encode(frame)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes exceeds the limit of {MAX_FRAME_BYTES}")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def body_length(header: bytes) -> int:
    """Return the number of bytes that follow a header. Raises FrameError for an impossible length."""
    length = int.from_bytes(header, "big")
    if len(header) != HEADER_BYTES or not 0 < length <= MAX_FRAME_BYTES:
        raise FrameError(f"a frame cannot be {length} bytes long")
    return length


def decode_request(body: bytes) -> AnyRequest:
    """Read a request. Raises FrameError for anything else."""
    try:
        return _request_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise FrameError(str(error)) from error


def decode_reply(body: bytes) -> AnyReply:
    """Read a reply. Raises FrameError for anything else."""
    try:
        return _reply_decoder.decode(body)
    except msgspec.DecodeError as error:
        raise FrameError(str(error)) from error
