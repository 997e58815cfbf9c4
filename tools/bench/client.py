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


class Streamed(NamedTuple):
    """An answer as it arrived: wall seconds, text, and (tokens so far, worker's CPU seconds) by frame."""

    seconds: float
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

    def generate_together(self, prompts: Sequence[str], options: SamplingOptions, n_tokens: int) -> float:
        """Ask for several answers at once and return the wall seconds until the last one ended."""

        async def together() -> None:
            await asyncio.gather(*(self._generate(prompt, options, n_tokens) for prompt in prompts))

        started = time.perf_counter()
        self._runner.run(together())
        return time.perf_counter() - started

    def embed(self, texts: Sequence[str]) -> tuple[float, Embeddings]:
        """Return the wall seconds and the vectors of the texts."""
        started = time.perf_counter()
        result = self._runner.run(self._ready.embed(EmbedRequest(texts=tuple(texts))))
        return time.perf_counter() - started, result

    async def _generate(self, prompt: str, options: SamplingOptions, n_tokens: int) -> Streamed:
        request = GenerateRequest(prompt=prompt, sampling=options, max_tokens=n_tokens)
        clock = _cpu_clock(self._ready.pid or 0)
        texts, marks, count = [], [], 0
        started = time.perf_counter()
        async for event in self._ready.generate(request):
            match event:
                case TextDelta(text=text, n_tokens=fresh):
                    count += fresh
                    texts.append(text)
                    marks.append((count, time.clock_gettime(clock)))
                case Finished(reason=reason, usage=usage) if usage.completion_tokens != n_tokens:
                    raise RuntimeError(f"The answer ended after {usage.completion_tokens} tokens: {reason}.")
        return Streamed(time.perf_counter() - started, "".join(texts), marks)


def _cpu_clock(pid: int) -> int:
    """Return the CPU clock of a process, as Linux numbers it (CPUCLOCK_SCHED in posix-timers.h)."""
    return (~pid << 3) | 2
