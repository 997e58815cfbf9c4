"""What a model takes from every device, by purpose: the result of a prediction or of a dry run."""

from __future__ import annotations

import msgspec

HOST_NAME = "RAM"
"""Name of the host's memory among the devices."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A place that can hold memory, as a plan sees it; cards stand in llama.cpp's order.

    `free_bytes` is what is free before loading, None where nobody knows. `overhead_bytes` is what loading
    takes beside the buffers that llama.cpp counts (the driver's context, workspaces), as learned from earlier
    loads; `reserve_bytes` is to stay free. `backend` decides about alignment: CUDA, ROCm, Vulkan, Metal, RPC.
    """

    name: str
    free_bytes: int | None
    total_bytes: int | None = None
    is_host: bool = False
    backend: str = "CUDA"
    overhead_bytes: int = 0
    reserve_bytes: int = 0

    @property
    def budget_bytes(self) -> int | None:
        """What buffers may take, None where nobody knows."""
        if self.free_bytes is None:
            return None
        return max(self.free_bytes - self.overhead_bytes - self.reserve_bytes, 0)


class DeviceMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on one device; `free_bytes` is what it has before loading, None where nobody knows.

    `overhead_bytes` is what no buffer of weights, cache or graph accounts for: the driver's context,
    workspaces, pools, and in RAM the rows of logits. `reserve_bytes` is to stay free, `capacity_bytes` is all
    that the device has. A projector and adapters are counted by the sizes of their files.
    """

    name: str
    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    overhead_bytes: int = 0
    free_bytes: int | None = None
    is_host: bool = False
    projector_bytes: int = 0
    adapters_bytes: int = 0
    reserve_bytes: int = 0
    capacity_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        """All that the model takes from this device."""
        parts = self.weights_bytes + self.kv_bytes + self.compute_bytes + self.overhead_bytes
        return parts + self.projector_bytes + self.adapters_bytes

    @property
    def spare_bytes(self) -> int | None:
        """What is left above the reserve, negative where it does not fit; None where nobody knows."""
        if self.free_bytes is None:
            return None
        return self.free_bytes - self.reserve_bytes - self.total_bytes

    @property
    def fits(self) -> bool:
        """Whether the device has that much above its reserve; an unknown amount counts as enough."""
        if not self.total_bytes:
            return True
        return self.spare_bytes is None or self.spare_bytes >= 0


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one model with one set of options; `exact` marks figures of a dry run.

    `is_supported` is False where nothing is known about the cache of an architecture: then only a dry run can
    tell. `notes` say in sentences what the figures leave out or only approximate.
    """

    n_gpu_layers: int
    n_layer: int
    devices: tuple[DeviceMemory, ...]
    exact: bool = False
    is_supported: bool = True
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether every device has room for its part."""
        return all(device.fits for device in self.devices)

    @property
    def total_bytes(self) -> int:
        """Bytes over all devices."""
        return sum(device.total_bytes for device in self.devices)

    @property
    def cards(self) -> tuple[DeviceMemory, ...]:
        """The devices that are not the host."""
        return tuple(device for device in self.devices if not device.is_host)

    @property
    def host(self) -> DeviceMemory:
        """The host's memory, empty where an estimate does not tell."""
        hosts = (device for device in self.devices if device.is_host)
        return next(hosts, DeviceMemory(name=HOST_NAME, is_host=True))
