"""Models without weights whose speed is a formula, and measurements that are kept in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import msgspec

from kobold_tui.domain.benchmark import Measurement, ModelIdentity
from kobold_tui.domain.errors import Failure
from kobold_tui.domain.generation import Finished, GenerateEvent, GenerateRequest
from kobold_tui.domain.instance import InstanceId, InstanceState, LoadSpec, ModelInfo, Ready
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.script import Script
from kobold_tui.services.benchmark import BenchmarkService, Best, PresetFiles, Surroundings
from kobold_tui.services.benchmark_trial import Instruments, Loads, Predict
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import PlacementService
from kobold_tui.services.telemetry import TelemetryService

TALKATIVE = Script(reply="and so it goes on", repeat=1000)
N_CPUS = 8

Speed = Callable[[LoadOptions], tuple[float, float]]
"""Tokens of a prompt and of an answer per second."""


class MemoryResults:
    """Measurements of one program alone."""

    def __init__(self) -> None:
        self.kept: dict[ModelIdentity, list[Measurement]] = {}

    def load(self, model: ModelIdentity) -> tuple[Measurement, ...]:
        return tuple(self.kept.get(model, ()))

    def add(self, model: ModelIdentity, measurement: Measurement) -> None:
        self.kept.setdefault(model, []).append(measurement)


def flat(_options: LoadOptions) -> tuple[float, float]:
    return 100.0, 10.0


class TimedEngine(FakeEngine):
    """A model that is as fast as `speed` says; its answers never end by themselves.

    Every repeat is a little slower than the one before, so that a spread can be seen.
    """

    def __init__(
        self,
        instance_id: InstanceId,
        speed: Speed = flat,
        *,
        script: Script = TALKATIVE,
        refuse: Callable[[LoadOptions], Failure | None] = lambda _: None,
        offloads: bool = False,
        n_layer: int = 30,
    ) -> None:
        super().__init__(instance_id, script)
        self._speed = speed
        self._refuse = refuse
        self._offloads = offloads
        self._all_layers = n_layer + 1
        self._n_answers = 0

    @property
    def state(self) -> InstanceState:
        state, spec = super().state, self.spec
        if not isinstance(state, Ready) or spec is None:
            return state
        layers = spec.options.n_gpu_layers
        layers = self._all_layers if layers == "auto" else layers
        info = msgspec.structs.replace(
            state.info,
            n_gpu_layers=layers if self._offloads else 0,
            gpu_offload_supported=self._offloads,
            seconds_to_load=1.5,
        )
        return Ready(info)

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        self.script = msgspec.structs.replace(self.script, refuse_load=self._refuse(spec.options))
        return await super().ensure_ready(spec)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        spec = self.spec
        assert spec is not None
        read, written = self._speed(spec.options)
        slower = 1 - 0.01 * self._n_answers
        self._n_answers += 1
        async for event in super().generate(request):
            yield _timed(event, read * slower, written * slower) if isinstance(event, Finished) else event


def _timed(event: Finished, read: float, written: float) -> Finished:
    usage = msgspec.structs.replace(event.usage, prompt_tokens_per_second=read, tokens_per_second=written)
    return msgspec.structs.replace(event, usage=usage)


async def _no_proposal(_spec: LoadSpec) -> LoadOptions | None:
    return None


def bench_service(  # noqa: PLR0917 - what it joins
    loads: Loads,
    room: PlacementService,
    telemetry: TelemetryService,
    predict: Predict,
    presets: PresetFiles,
    results: MemoryResults,
    best: Best = _no_proposal,
) -> BenchmarkService:
    """Return the service over a machine of eight cores."""
    return BenchmarkService(
        Instruments(loads=loads, room=room, telemetry=telemetry.sample, predict=predict),
        Surroundings(
            cpu_name=lambda: "Test CPU", n_cpus=N_CPUS, best=best, presets=presets, clock=lambda: 7.0
        ),
        results,
        OwnThread("fake benchmarks"),
    )
