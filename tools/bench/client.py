"""The worker as the program sees it: a process behind its wire, timed at the client's end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from kobold_tui.domain.generation import Embeddings, EmbedRequest, Finished, GenerateRequest, TextDelta
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.process import ProcessEngine
from tools.bench.measure import Cost


class Streamed(NamedTuple):
    """An answer as it arrived: its cost, text, and (tokens so far, worker's CPU seconds) by frame."""

    cost: Cost
    text: str
    marks: list[tuple[int, float]]


class Client:
    """A loaded worker; a context manager, used from code without a loop."""

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._runner = asyncio.Runner()
        self._engine: ProcessEngine | None = None

    def __enter__(self) -> Client:
        self._runner.run(self._load())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._ready.stop())
        self._runner.close()

    @property
    def _ready(self) -> ProcessEngine:
        if self._engine is None:
            raise RuntimeError("The worker was not started.")
        return self._engine

    async def _load(self) -> None:
        self._engine = ProcessEngine(InstanceId("bench"))
        await self._engine.ensure_ready(self._spec)

    def generate(self, prompt: str, options: SamplingOptions, n_tokens: int) -> Streamed:
        """Ask for exactly `n_tokens` tokens."""
        return self._runner.run(self._generate(prompt, options, n_tokens))

    def generate_together(self, prompts: Sequence[str], options: SamplingOptions, n_tokens: int) -> Cost:
        """Ask for several answers at once; the cost lasts until the last one has ended."""

        async def together() -> Cost:
            watch = self._watch()
            await asyncio.gather(*(self._generate(prompt, options, n_tokens) for prompt in prompts))
            return watch.cost()

        return self._runner.run(together())

    def embed(self, texts: Sequence[str]) -> tuple[Cost, Embeddings]:
        """Return the cost and the vectors of the texts."""
        watch = self._watch()
        result = self._runner.run(self._ready.embed(EmbedRequest(texts=tuple(texts))))
        return watch.cost(), result

    def embed_each(self, texts: Sequence[str], *, in_flight: bool) -> Cost:
        """Ask for one text after the other, or for all of them in requests that are under way together."""

        async def each() -> Cost:
            watch = self._watch()
            requests = [self._ready.embed(EmbedRequest(texts=(text,))) for text in texts]
            if in_flight:
                await asyncio.gather(*requests)
            else:
                for request in requests:
                    await request
            return watch.cost()

        return self._runner.run(each())

    def ping(self) -> float:
        """Return the seconds of a round trip to the worker that asks for nothing."""
        return self._runner.run(self._ready.ping())

    async def _generate(self, prompt: str, options: SamplingOptions, n_tokens: int) -> Streamed:
        request = GenerateRequest(prompt=prompt, sampling=options, max_tokens=n_tokens)
        texts, marks, count = [], [], 0
        watch = self._watch()
        async for event in self._ready.generate(request):
            match event:
                case TextDelta(text=text, n_tokens=fresh):
                    count += fresh
                    texts.append(text)
                    marks.append((count, watch.cpu_seconds()))
                case Finished(reason=reason, usage=usage) if usage.completion_tokens != n_tokens:
                    raise RuntimeError(f"The answer ended after {usage.completion_tokens} tokens: {reason}.")
        return Streamed(watch.cost(), "".join(texts), marks)

    def _watch(self) -> _Watch:
        return _Watch(self._ready.pid or 0)


class _Watch:
    """Wall time since now, and the CPU time of a process."""

    def __init__(self, pid: int) -> None:
        self._clock = (~pid << 3) | 2  # a process's CPU clock, as Linux numbers it in posix-timers.h
        self._started, self._cpu_started = time.perf_counter(), self.cpu_seconds()

    def cpu_seconds(self) -> float:
        return time.clock_gettime(self._clock)

    def cost(self) -> Cost:
        return Cost(time.perf_counter() - self._started, self.cpu_seconds() - self._cpu_started)
