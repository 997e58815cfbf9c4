"""Whether models will run here: each one's header is read once, then predicted on the memory that is free.

Reading and predicting run in a thread of their own, because a header can lie on a mount that hangs.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.fit import verdict
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.ledger import HOST
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import HOST_NAME, Device, ModelShape, predict
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.size_rule import LEAST_SHARE, FreeMemory, SizeVerdict, judge_size
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import free_by_key, key_of

KEPT_SHAPES = 128

_VECTOR_KINDS = frozenset({"embedding", "reranker"})


class SuitabilityService(LoopBound):
    """Judges models. `read_shape` may block; `accelerators` names what the installed llama.cpp can use."""

    def __init__(
        self,
        read_shape: Callable[[str], ModelShape],
        thread: OwnThread,
        accelerators: Callable[[], tuple[str, ...]],
        options: LoadOptions | None = None,
    ) -> None:
        super().__init__()
        self._read_shape = read_shape
        self._thread = thread
        self._accelerators = accelerators
        self._options = options or LoadOptions()
        self._shapes: OrderedDict[tuple[str, int, float], ModelShape | None] = OrderedDict()
        self._can_offload: bool | None = None

    async def free(self, telemetry: Telemetry, leaving: InstanceId | None = None) -> FreeMemory:
        """Return what a new model could take, of cards that the installed llama.cpp can use alone."""
        self.check_loop()
        devices = await self._thread.call(self._devices, telemetry, leaving)
        return FreeMemory(
            vram_bytes=sum(device.free_bytes or 0 for device in devices if not device.is_host),
            ram_bytes=sum(device.free_bytes or 0 for device in devices if device.is_host),
        )

    async def judge(
        self, models: Sequence[ModelEntry], telemetry: Telemetry, leaving: InstanceId | None = None
    ) -> dict[str, SizeVerdict]:
        """Return verdicts by path; the memory of `leaving`, which would make way, counts as free.

        A model whose header cannot be read, or whose memory cannot be predicted, is judged by its size.
        """
        self.check_loop()
        return await self._thread.call(self._judge_all, tuple(models), telemetry, leaving)

    def _judge_all(
        self, models: Sequence[ModelEntry], telemetry: Telemetry, leaving: InstanceId | None
    ) -> dict[str, SizeVerdict]:
        devices = self._devices(telemetry, leaving)
        return {model.path: self._judge(model, devices) for model in models}

    def _judge(self, model: ModelEntry, devices: Sequence[Device]) -> SizeVerdict:
        shape = self._shape(model)
        if shape is None or not shape.supported:
            cards = sum(device.free_bytes or 0 for device in devices if not device.is_host)
            ram = sum(device.free_bytes or 0 for device in devices if device.is_host)
            return judge_size(model.size_bytes, FreeMemory(vram_bytes=cards, ram_bytes=ram))
        return verdict_by_prediction(shape, self._options, devices, model.kind in _VECTOR_KINDS)

    def _shape(self, model: ModelEntry) -> ModelShape | None:
        key = (model.path, model.size_bytes, model.modified_at)
        if key in self._shapes:
            self._shapes.move_to_end(key)
            return self._shapes[key]
        try:
            shape = self._read_shape(model.path)
        except (KoboldError, OSError):
            shape = None
        self._shapes[key] = shape
        if len(self._shapes) > KEPT_SHAPES:
            self._shapes.popitem(last=False)
        return shape

    def _devices(self, telemetry: Telemetry, leaving: InstanceId | None) -> tuple[Device, ...]:
        if self._can_offload is None:
            self._can_offload = bool(self._accelerators())
        return devices_of(telemetry, leaving, with_cards=self._can_offload)


def devices_of(
    telemetry: Telemetry, leaving: InstanceId | None = None, *, with_cards: bool = True
) -> tuple[Device, ...]:
    """Return the cards that we may use, in llama.cpp's order, and the host, with what is free on each."""
    free = free_by_key(telemetry, leaving)
    cards = [
        Device(
            name=f"CUDA{gpu.index}", free_bytes=free.get(key_of(gpu), 0), total_bytes=gpu.memory_total_bytes
        )
        for gpu in telemetry.gpus
        if gpu.is_visible and with_cards
    ]
    total = telemetry.host.memory_total_bytes
    host = Device(name=HOST_NAME, free_bytes=free[HOST], total_bytes=total, is_host=True, backend="CPU")
    return (*cards, host)


def verdict_by_prediction(
    shape: ModelShape, options: LoadOptions, devices: Sequence[Device], embedding: bool
) -> SizeVerdict:
    """Return where a model fits: on the cards, a part of it that is worth it, in RAM alone, or nowhere.

    The placement search answers for models that write; what only makes vectors is small and has no parts
    that are worth a search.
    """
    return _vector_verdict(shape, options, devices) if embedding else verdict(shape, options, devices)


def _vector_verdict(shape: ModelShape, options: LoadOptions, devices: Sequence[Device]) -> SizeVerdict:
    def fits(n_gpu_layers: int, places: Sequence[Device]) -> bool:
        tried = msgspec.structs.replace(options, n_gpu_layers=n_gpu_layers)
        return predict(shape, tried, places, embedding=True).fits

    host = [device for device in devices if device.is_host]
    if len(host) < len(devices):
        if fits(shape.n_units, devices):
            return "gpu"
        if fits(max(1, math.ceil(shape.n_units * LEAST_SHARE)), devices):
            return "partly"
    return "cpu" if fits(0, host) else "no"
