"""An engine as requests see it: how much it is used is noted, and a parked model comes back for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing

from kobold_tui.domain.generation import (
    Embeddings,
    EmbedRequest,
    GenerateEvent,
    GenerateRequest,
    Message,
    RenderedPrompt,
    RerankRequest,
    Scores,
    TextDelta,
)
from kobold_tui.domain.instance import InstanceId, InstanceState, LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.protocol import Engine, StateListener

TELL_EVERY_SECONDS = 1.0

Clock = Callable[[], float]


class Use:
    """What requests have asked of one instance so far; `last_used` and the clock are seconds since 1970.

    `changed` is called when a request begins or ends, and once a second while tokens come.
    """

    def __init__(self, changed: Callable[[], None], clock: Clock = time.time) -> None:
        self._changed = changed
        self._clock = clock
        self._told = 0.0
        self.active = 0
        self.tokens_served = 0
        self.last_used = clock()
        self.idle = asyncio.Event()
        self.idle.set()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count a request while it runs."""
        self.active += 1
        self.idle.clear()
        self._tell()
        try:
            yield
        finally:
            self.active -= 1
            if not self.active:
                self.idle.set()
            self._tell()

    def count(self, n_tokens: int) -> None:
        """Count tokens that were served."""
        self.tokens_served += n_tokens
        if self._clock() - self._told >= TELL_EVERY_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self.last_used = self._told = self._clock()
        self._changed()


class UsedEngine:
    """Implements `Engine` over another one; `wake` loads a parked model again before it is asked."""

    def __init__(self, engine: Engine, use: Use, wake: Callable[[], Awaitable[None]]) -> None:
        self._engine = engine
        self._use = use
        self._wake = wake

    @property
    def id(self) -> InstanceId:
        """Name of the instance."""
        return self._engine.id

    @property
    def state(self) -> InstanceState:
        """The present state."""
        return self._engine.state

    @property
    def spec(self) -> LoadSpec | None:
        """What is loaded, or was asked for last."""
        return self._engine.spec

    @property
    def pid(self) -> int | None:
        """Process that holds the model."""
        return self._engine.pid

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The last lines that the model's process wrote."""
        return self._engine.log_tail

    def watch(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` on every change of state; returns how to stop it."""
        return self._engine.watch(listener)

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        """Load `spec` unless it is loaded; see `Engine.ensure_ready`."""
        return await self._engine.ensure_ready(spec)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        """Stream an answer; see `Engine.generate`."""
        with self._use.running():
            await self._wake()
            async with aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        self._use.count(event.n_tokens)
                    yield event

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return one vector for each text."""
        with self._use.running():
            await self._wake()
            found = await self._engine.embed(request)
            self._use.count(sum(found.token_counts))
            return found

    async def rerank(self, request: RerankRequest) -> Scores:
        """Return how relevant each document is to the query."""
        with self._use.running():
            await self._wake()
            found = await self._engine.rerank(request)
            self._use.count(sum(found.token_counts))
            return found

    async def set_lora(self, scales: Sequence[float]) -> None:
        """Change how strongly the loaded LoRA adapters act."""
        await self._engine.set_lora(scales)

    async def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[int, ...]:
        """Return token ids."""
        await self._wake()
        return await self._engine.tokenize(text, add_special=add_special, parse_special=parse_special)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids."""
        await self._wake()
        return await self._engine.detokenize(tokens)

    async def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str] | None = None,
        *,
        tools_json: str = "",
    ) -> RenderedPrompt:
        """Return the prompt that `generate` would evaluate for these messages."""
        await self._wake()
        return await self._engine.render(messages, template_options, tools_json=tools_json)

    async def dry_run(self, spec: LoadSpec) -> MemoryEstimate:
        """Return the exact memory that `spec` would take."""
        return await self._engine.dry_run(spec)

    async def ping(self) -> float:
        """Return the seconds that the worker's reader takes to answer."""
        return await self._engine.ping()

    async def stop(self) -> None:
        """Unload and end the process."""
        await self._engine.stop()
