"""The scripted models of the demonstration: they take their time, and hold memory of the made-up cards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from kobold_tui.bootstrap.demo.models import RECIPES
from kobold_tui.bootstrap.demo.words import REPLY
from kobold_tui.domain.generation import GenerateEvent, GenerateRequest
from kobold_tui.domain.instance import Instance, InstanceId, Loading, LoadSpec, ModelInfo, Ready
from kobold_tui.engine.fake import FakeEngine, Step
from kobold_tui.engine.script import Script
from kobold_tui.hardware.synthetic import N_CARDS, SyntheticLoad

LOAD_STEPS = 60
FIRST_PID, PID_STEP = 24071, 138
NOISE = b"""\
demo: a made-up model is being read; nothing is computed
demo: offloading layers to the card
demo: the context has its memory
"""
KV_SHARE = 0.12
"""What context and compute take beside the weights, where nobody has predicted it."""


class DemoEngine(FakeEngine):
    """Loads in some seconds, and answers at the pace of a fast model."""

    def __init__(self, instance_id: InstanceId, pid: int, load_seconds: float, token_seconds: float) -> None:
        super().__init__(instance_id, pace=self._wait)
        self._pid = pid
        self._seconds = {"load": load_seconds / LOAD_STEPS, "token": token_seconds}
        self.active = 0

    @property
    def pid(self) -> int | None:
        """A number for the lists; there is no process."""
        return self._pid if isinstance(self.state, Loading | Ready) else None

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        """Load, with the words and the layers of the model."""
        recipe = next((each for each in RECIPES if each.file_name == Path(spec.path).name), None)
        self.script = Script(
            reply=REPLY,
            load_steps=LOAD_STEPS,
            noise=NOISE,
            offloads=True,
            n_layer=recipe.n_layer if recipe else 1,
            n_embd=recipe.n_embd if recipe else 16,
        )
        return await super().ensure_ready(spec)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        """Stream the answer; the card is busy meanwhile."""
        self.active += 1
        try:
            async for event in super().generate(request):
                yield event
        finally:
            self.active -= 1

    async def _wait(self, step: Step) -> None:
        await asyncio.sleep(self._seconds[step])


class Placed:
    """Which model holds what: noted on the backend's loop, read by the threads of the hardware."""

    def __init__(self) -> None:
        self._engines: dict[InstanceId, DemoEngine] = {}
        self._loads: tuple[SyntheticLoad, ...] = ()

    def next_pid(self) -> int:
        """Return a number for another engine."""
        return FIRST_PID + PID_STEP * len(self._engines)

    def add(self, engine: DemoEngine) -> None:
        """Take note of an engine."""
        self._engines[engine.id] = engine

    def note(self, instances: tuple[Instance, ...]) -> None:
        """Replace what is known of the memory, in one step."""
        self._loads = tuple(
            SyntheticLoad(
                name=instance.id,
                pid=instance.pid,
                card_bytes=_card_bytes(instance),
                share=_share(instance),
            )
            for instance in instances
            if instance.pid is not None
        )

    def loads(self) -> tuple[SyntheticLoad, ...]:
        """Return the models that hold memory now."""
        return tuple(
            msgspec.structs.replace(load, is_busy=engine is not None and engine.active > 0)
            for load in self._loads
            for engine in (self._engines.get(InstanceId(load.name)),)
        )


def _share(instance: Instance) -> float:
    state = instance.state
    return 1.0 if not isinstance(state, Loading) else state.fraction or 0.0


def _card_bytes(instance: Instance) -> tuple[int, ...]:
    """Return what was predicted for each card; without a prediction the file and some more."""
    if instance.estimate is not None:
        devices = [device.total_bytes for device in instance.estimate.devices if not device.is_host]
        return tuple((devices + [0] * N_CARDS)[:N_CARDS])
    path = Path(instance.spec.path)
    size = round(path.stat().st_size * (1 + KV_SHARE)) if path.exists() else 0
    return (size, *[0] * (N_CARDS - 1))
