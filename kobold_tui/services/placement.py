"""Room for models: what is free on each device, less what is promised to models that are still loading.

Prediction and telemetry speak of devices in two ways: llama.cpp names them by number, reservations by UUID,
because two users of a machine may see its cards in different orders. `device_keys` translates.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from kobold_tui.domain.gpu import GpuSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.ledger import HOST, Reservation, unpromised
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.domain.units import format_bytes
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.switching import NoRoomError

Predict = Callable[[LoadSpec], Awaitable[MemoryEstimate | None]]
Learn = Callable[[InstanceId, MemoryEstimate], Awaitable[None]]


class Ledger(Protocol):
    """Reservations of all copies of the program; every call may block."""

    def reservations(self) -> tuple[Reservation, ...]:
        """Return all reservations."""
        ...

    def claim(self, instance: str, needs: Mapping[str, int], free: Mapping[str, int]) -> bool:
        """Reserve where there is room."""
        ...

    def drop(self, instance: str) -> None:
        """Give a reservation back."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class PlacementService(LoopBound):
    """Reserves memory before a load and gives the reservation back after it; see `switching.Room`.

    `predict` says what a load will take, None where it cannot tell: then nothing is reserved or refused.
    `learn` is told of every load that went well, with its prediction.
    """

    def __init__(
        self,
        ledger: Ledger,
        thread: OwnThread,
        telemetry: Callable[[], Awaitable[Telemetry]],
        predict: Predict,
        learn: Learn | None = None,
    ) -> None:
        super().__init__()
        self._ledger = ledger
        self._thread = thread
        self._telemetry = telemetry
        self._predict = predict
        self._learn = learn
        self._claimed: dict[InstanceId, MemoryEstimate] = {}

    async def free(self, leaving: InstanceId | None = None) -> dict[str, int]:
        """Return the bytes that can be had of each device, by key; that of `leaving` counts as free."""
        self.check_loop()
        free = free_by_key(await self._telemetry(), leaving)
        return unpromised(free, await self._thread.call(self._ledger.reservations))

    async def claim(
        self, instance_id: InstanceId, spec: LoadSpec, *, leaving: InstanceId | None = None
    ) -> MemoryEstimate | None:
        """Reserve memory for a load. Raises NoRoomError that names the device and what it lacks."""
        self.check_loop()
        if spec.endpoint is not None:
            return None
        estimate = await self._predict(spec)
        if estimate is None:
            return None
        telemetry = await self._telemetry()
        keys, free = device_keys(telemetry), free_by_key(telemetry, leaving)
        needs = needs_by_key(estimate, keys)
        _check_limit(instance_id, spec, estimate)
        if not await self._thread.call(self._ledger.claim, instance_id, needs, free):
            left = unpromised(free, await self._thread.call(self._ledger.reservations))
            raise _no_room(instance_id, needs, left, {key: name for name, key in keys.items()})
        self._claimed[instance_id] = estimate
        return estimate

    async def loaded(self, instance_id: InstanceId) -> None:
        """Give the reservation back, the driver's figures hold the memory now; and learn from them."""
        estimate = self._claimed.get(instance_id)
        await self.release(instance_id)
        if estimate is not None and self._learn is not None:
            await self._learn(instance_id, estimate)

    async def release(self, instance_id: InstanceId) -> None:
        """Give the reservation back."""
        self.check_loop()
        self._claimed.pop(instance_id, None)
        await self._thread.call(self._ledger.drop, instance_id)

    async def close(self) -> None:
        """Give every reservation back."""
        await self._thread.call(self._ledger.close)


def device_keys(telemetry: Telemetry) -> dict[str, str]:
    """Return the key of every device by the name that llama.cpp gives it: RAM, CUDA0 and so on."""
    cards = {f"CUDA{gpu.index}": key_of(gpu) for gpu in telemetry.gpus if gpu.is_visible}
    return {HOST: HOST, **cards}


def key_of(gpu: GpuSnapshot) -> str:
    """Return what a card is called in reservations: its UUID, else its place."""
    return gpu.uuid or gpu.pci_bus_id or f"card {gpu.index}"


def free_by_key(telemetry: Telemetry, leaving: InstanceId | None = None) -> dict[str, int]:
    """Return the free bytes of every device that tells them, with those that `leaving` will give back."""
    free = {HOST: telemetry.host.memory_available_bytes + telemetry.workers.get(leaving or "", 0)}
    for gpu in telemetry.gpus:
        if gpu.memory_free_bytes is not None and gpu.is_visible:
            own = sum(p.memory_bytes or 0 for p in gpu.processes if leaving and p.instance == leaving)
            free[key_of(gpu)] = gpu.memory_free_bytes + own
    return free


def needs_by_key(estimate: MemoryEstimate, keys: Mapping[str, str]) -> dict[str, int]:
    """Return the bytes that are needed of every device, by key; a device without a key has its name."""
    return {_key(device, keys): device.total_bytes for device in estimate.devices if device.total_bytes}


def _key(device: DeviceMemory, keys: Mapping[str, str]) -> str:
    return HOST if device.is_host else keys.get(device.name, device.name)


def _check_limit(instance_id: InstanceId, spec: LoadSpec, estimate: MemoryEstimate) -> None:
    """Raise NoRoomError where a card would have to give more than the model may take."""
    limit = spec.card_limit_bytes
    over = [card for card in estimate.cards if limit is not None and card.total_bytes > limit]
    if limit is None or not over:
        return
    taken = " and ".join(f"{format_bytes(card.total_bytes)} of {card.name}" for card in over)
    raise NoRoomError(
        "Above its limit",
        f"{instance_id} would take {taken}, and its preset allows {format_bytes(limit)} a card.",
        "Put fewer layers on the GPU, or raise the limit of the preset.",
    )


def _no_room(
    instance_id: InstanceId, needs: Mapping[str, int], left: Mapping[str, int], names: Mapping[str, str]
) -> NoRoomError:
    short = [
        f"{format_bytes(size)} of {names.get(key, key)}, which has {format_bytes(left[key])} left"
        for key, size in needs.items()
        if size > left.get(key, size)
    ]
    return NoRoomError(
        "Not enough memory",
        f"{instance_id} needs {' and '.join(short) or 'more than there is'}.",
        "Put fewer layers on the GPU, choose a smaller context, or unload another model.",
    )
