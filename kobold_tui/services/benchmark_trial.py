"""Measures one placement: load, warm up, repeat, unload; whatever goes wrong becomes the run's failure.

Speeds are the worker's own figures, each for its own phase. Before every repeat the model forgets what it has
evaluated, so that all of a prompt is read; an end of the text ends no answer, so that all of it is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

import msgspec

from kobold_tui.domain.benchmark import BenchPhase, BenchRun, BenchSettings, spread
from kobold_tui.domain.errors import EngineError, KoboldError
from kobold_tui.domain.generation import Finished, GenerateRequest, PromptProgress, TextDelta, Usage
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.instance import (
    Instance,
    InstanceId,
    InstanceState,
    Loading,
    LoadSpec,
    ModelInfo,
    Ready,
    Starting,
)
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.protocol import Engine
from kobold_tui.services.benchmark_memory import memory_lines
from kobold_tui.services.benchmark_prompt import PromptMaker
from kobold_tui.services.switching import Room

WARM_UP_TOKENS = 8

Predict = Callable[[LoadSpec], Awaitable[MemoryEstimate | None]]
Report = Callable[[BenchPhase, float | None, int], None]
"""Called with the phase, how much of it is done, and the repeat, counted from one."""


class Loads(Protocol):
    """Who loads models, each in a process of its own."""

    async def load(
        self,
        spec: LoadSpec,
        instance_id: InstanceId | None = None,
        *,
        estimate: MemoryEstimate | None = None,
        on_state: Callable[[InstanceState], None] | None = None,
    ) -> Instance:
        """Load a model and return its instance."""
        ...

    def engine(self, instance_id: InstanceId) -> Engine:
        """Return what answers."""
        ...

    def free_name(self, spec: LoadSpec) -> InstanceId:
        """Return a name that no instance has."""
        ...

    async def stop(self, instance_id: InstanceId) -> None:
        """Unload and forget an instance."""
        ...


class Instruments(msgspec.Struct, frozen=True, kw_only=True):
    """What a measurement is made with: who loads, who knows the memory, and how it is predicted."""

    loads: Loads
    room: Room
    telemetry: Callable[[], Awaitable[Telemetry]]
    predict: Predict


class Trial:
    """The measurement of one placement."""

    def __init__(
        self, instruments: Instruments, spec: LoadSpec, settings: BenchSettings, report: Report
    ) -> None:
        self._tools = instruments
        self._spec = spec
        self._settings = settings
        self._report = report
        self._name = InstanceId(f"bench-{instruments.loads.free_name(spec)}")
        self._usages: list[Usage] = []
        self._run = BenchRun(options=spec.options, n_gpu_layers=spec.options.n_gpu_layers)

    async def measure(self) -> BenchRun:
        """Return what came out; the model is unloaded then, also where the call is cancelled."""
        try:
            estimate = await self._predicted()
            self._note(memory=memory_lines(estimate, None, None, self._name))
            before = await self._sample()
            await self._load()
            await self._talk(estimate, before)
        except KoboldError as error:
            self._note(failure=error.failure)
        finally:
            await self._tools.loads.stop(self._name)
            await self._tools.room.release(self._name)
        self._sum_up()
        return self._run

    def _note(self, **facts: object) -> None:
        self._run = msgspec.structs.replace(self._run, **facts)

    def _remark(self, words: str) -> None:
        self._note(notes=(*self._run.notes, words))

    async def _predicted(self) -> MemoryEstimate | None:
        """Return the prediction; one that fails costs no measurement."""
        with contextlib.suppress(KoboldError):
            return await self._tools.predict(self._spec)
        return None

    async def _sample(self) -> Telemetry | None:
        with contextlib.suppress(KoboldError):
            return await self._tools.telemetry()
        return None

    async def _load(self) -> None:
        self._report("loading", None, 0)
        tools = self._tools
        estimate = await tools.room.claim(self._name, self._spec)
        instance = await tools.loads.load(
            self._spec, self._name, estimate=estimate, on_state=self._report_state
        )
        await tools.room.loaded(self._name)
        if isinstance(instance.state, Ready):
            self._note_info(instance.state.info)

    def _report_state(self, state: InstanceState) -> None:
        match state:
            case Starting():
                self._report("loading", None, 0)
            case Loading(fraction=fraction):
                self._report("loading", fraction, 0)

    def _note_info(self, info: ModelInfo) -> None:
        asked, used = self._run.n_gpu_layers, info.n_gpu_layers
        if asked != "auto" and asked > used:
            self._remark(f"Only {used} of {asked} layers are on a GPU.")
        self._note(
            n_gpu_layers=used if asked == "auto" else asked,
            n_gpu_layers_used=used,
            n_threads_used=info.n_threads,
            can_offload=info.gpu_offload_supported,
            seconds_to_load=info.seconds_to_load,
            llama_cpp_version=info.llama_cpp_version,
        )

    async def _talk(self, estimate: MemoryEstimate | None, before: Telemetry | None) -> None:
        engine = self._tools.loads.engine(self._name)
        prompts = PromptMaker(engine, self._settings.n_prompt)
        await self._warm_up(engine, prompts)
        after = await self._sample()
        self._note(memory=memory_lines(estimate, before, after, self._name))
        for repeat in range(1, self._settings.repeat + 1):
            usage = await self._answer(engine, await prompts.make(), self._settings.n_gen, repeat)
            self._usages.append(usage)

    async def _warm_up(self, engine: Engine, prompts: PromptMaker) -> None:
        """Answer once without measuring, and learn how many tokens the model puts around a prompt."""
        self._report("warm-up", None, 0)
        prompt = await prompts.make()
        counted = await prompts.count(prompt)
        usage = await self._answer(engine, prompt, min(self._settings.n_gen, WARM_UP_TOKENS), 0)
        prompts.offset += usage.prompt_tokens - counted

    async def _answer(self, engine: Engine, prompt: str, n_gen: int, repeat: int) -> Usage:
        await engine.set_lora(
            [adapter.scale for adapter in self._spec.options.lora]
        )  # forgets what is cached
        request = GenerateRequest(
            prompt=prompt,
            sampling=SamplingOptions(temperature=0.0),
            max_tokens=n_gen,
            context_shift=False,
            ignore_eos=True,
        )
        finished = await self._listen(engine, request, repeat)
        if finished.usage.completion_tokens != n_gen:
            raise EngineError(
                "The answer broke off",
                f"{finished.usage.completion_tokens} of {n_gen} tokens came. {finished.note}".strip(),
                "Load the model with a larger context, or measure with fewer tokens.",
            )
        return finished.usage

    async def _listen(self, engine: Engine, request: GenerateRequest, repeat: int) -> Finished:
        written = 0
        async with aclosing(engine.generate(request)) as events:
            async for event in events:
                match event:
                    case PromptProgress(done=done, total=total) if repeat:
                        self._report("prompt", done / total, repeat)
                    case TextDelta(n_tokens=n_tokens) if repeat:
                        written += n_tokens
                        self._report("answer", written / request.max_tokens, repeat)
                    case Finished():
                        return event
        raise EngineError("The answer broke off", "The model gave no answer.")

    def _sum_up(self) -> None:
        usages = self._usages
        if not usages:
            return
        if cached := max(usage.cached_tokens for usage in usages):
            self._remark(f"{cached} tokens of a prompt were cached and not read.")
        self._note(
            n_prompt=usages[-1].prompt_tokens,
            n_gen=usages[-1].completion_tokens,
            n_repeats=len(usages),
            prompt_tokens_per_second=spread(usage.prompt_tokens_per_second for usage in usages),
            tokens_per_second=spread(usage.tokens_per_second for usage in usages),
        )
