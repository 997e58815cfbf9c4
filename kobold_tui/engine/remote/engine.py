"""The engine whose model runs on an OpenAI-compatible server.

Being ready means that the server was reached and has the model. A connection that is lost costs the answer
under way and nothing else: the engine stays ready, and the next request connects anew.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import (
    Embeddings,
    EmbedRequest,
    GenerateEvent,
    GenerateRequest,
    Message,
    RenderedPrompt,
    RerankRequest,
    Scores,
)
from kobold_tui.domain.instance import InstanceId, InstanceState, LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.lifecycle import Lifecycle
from kobold_tui.engine.log_tail import LogTail
from kobold_tui.engine.protocol import StateListener
from kobold_tui.engine.remote import sse, token_text, vectors, words
from kobold_tui.engine.remote.answer import StreamedAnswer
from kobold_tui.engine.remote.body import adapted, generate_body
from kobold_tui.engine.remote.host import FIND_SECONDS, RemoteHost, spec_endpoint
from kobold_tui.engine.remote.http import Http, Patience, Sleep

ReadKey = Callable[[Endpoint], str]


def key_from_environment(endpoint: Endpoint) -> str:
    """Return the key of an endpoint from the variable that it names; empty where it names none."""
    return os.environ.get(endpoint.api_key_env, "") if endpoint.api_key_env else ""


class RemoteEngine:
    """Implements `Engine` for a spec with an endpoint; `read_key` finds the key when it is needed."""

    def __init__(
        self,
        instance_id: InstanceId,
        *,
        read_key: ReadKey = key_from_environment,
        patience: Patience | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._id = instance_id
        self._read_key = read_key
        self._patience = patience or Patience()
        self._sleep = sleep
        self._log = LogTail()
        self._lifecycle: Lifecycle[RemoteHost] = Lifecycle(self._open)

    @property
    def id(self) -> InstanceId:
        """Name of the instance."""
        return self._id

    @property
    def state(self) -> InstanceState:
        """The present state."""
        return self._lifecycle.state

    @property
    def spec(self) -> LoadSpec | None:
        """What was asked for last."""
        return self._lifecycle.spec

    @property
    def pid(self) -> int | None:
        """None: the process is elsewhere."""
        return None

    @property
    def log_tail(self) -> tuple[str, ...]:
        """What did not go smoothly, oldest first."""
        return self._log.snapshot()

    def watch(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` on every change of state; returns how to stop it."""
        return self._lifecycle.watch(listener)

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        """Reach the endpoint and find the model; see `Engine.ensure_ready`."""
        spec_endpoint(spec)
        return await self._lifecycle.ensure_ready(spec)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        """Stream an answer; closing it closes the connection, which is how servers learn of a cancel."""
        host = self._lifecycle.ready_host()
        path, body, lost = generate_body(host.endpoint, host.flavour, host.model, request)
        note, begun = _note_once(host, lost), False
        while True:
            try:
                async with aclosing(_streamed(host, path, body, request, note)) as events:
                    async for event in events:
                        begun = True
                        yield event
            except EngineError as error:
                changed = None if begun else adapted(body, error.message)
                if changed is None:
                    raise
                body = changed
            else:
                return

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return one vector for each text."""
        return await vectors.embed(self._lifecycle.ready_host(), request)

    async def rerank(self, request: RerankRequest) -> Scores:
        """Return one score for each document."""
        return await vectors.rerank(self._lifecycle.ready_host(), request)

    async def set_lora(self, scales: Sequence[float]) -> None:
        """Refuse: adapters are the server's own business."""
        host = self._lifecycle.ready_host()
        if scales:
            raise words.lacking(host.endpoint, "change LoRA adapters from here")

    async def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[int, ...]:
        """Return token ids, where the server tells them."""
        host = self._lifecycle.ready_host()
        return await token_text.tokenize(host, text, add_special=add_special, parse_special=parse_special)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, where the server tells it."""
        return await token_text.detokenize(self._lifecycle.ready_host(), tokens)

    async def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str] | None = None,
        *,
        tools_json: str = "",  # noqa: ARG002 - no server renders tools for others
    ) -> RenderedPrompt:
        """Return the prompt of these messages, where the server shows it."""
        return await token_text.render(self._lifecycle.ready_host(), messages, template_options)

    async def dry_run(self, spec: LoadSpec) -> MemoryEstimate:
        """Refuse: the memory is elsewhere."""
        raise words.lacking(spec_endpoint(spec), "tell how much memory a model takes")

    async def ping(self) -> float:
        """Return the seconds that the server takes to list its models."""
        host = self._lifecycle.ready_host()
        begun = time.monotonic()
        await host.http.get(f"{host.endpoint.base_url}/models", seconds=FIND_SECONDS)
        return time.monotonic() - begun

    async def stop(self) -> None:
        """Close all connections; see `Engine.stop`."""
        await self._lifecycle.stop()

    def _open(self, spec: LoadSpec) -> RemoteHost:
        endpoint = spec_endpoint(spec)
        key = self._read_key(endpoint)
        if key and not endpoint.is_private_line:
            self._log.feed(f"The key travels to {endpoint.host} without encryption.\n".encode())
        http = Http(endpoint, key, self._log, patience=self._patience, sleep=self._sleep)
        return RemoteHost(endpoint, http)


async def _streamed(
    host: RemoteHost, path: str, body: dict[str, object], request: GenerateRequest, note: str
) -> AsyncGenerator[GenerateEvent, None]:
    answer = StreamedAnswer(host.endpoint, request.max_tokens, shown=host.http.without_key)
    async with host.http.stream(host.endpoint.base_url + path, body) as response:
        async for data in sse.events(response.aiter_bytes()):
            for event in answer.read(data):
                yield event
            if answer.is_over:
                break
    yield answer.finished(note)


def _note_once(host: RemoteHost, lost: tuple[str, ...]) -> str:
    """Say which options the server does not know, each only once while it is in use."""
    new = [name for name in lost if name not in host.notes_told]
    host.notes_told.update(new)
    return f"{host.endpoint.host} knows no {', '.join(new)}." if new else ""
