"""What a model takes from every device, by purpose: the result of a prediction or of a dry run."""

from __future__ import annotations

import msgspec


class DeviceMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on one device; `free_bytes` is what it has before loading, None where nobody knows.

    `overhead_bytes` is what no buffer accounts for: the driver's context, workspaces, pools.
    """

    name: str
    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    overhead_bytes: int = 0
    free_bytes: int | None = None
    is_host: bool = False

    @property
    def total_bytes(self) -> int:
        """All that the model takes from this device."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.overhead_bytes

    @property
    def fits(self) -> bool:
        """Whether the device has that much; an unknown amount counts as enough."""
        return self.free_bytes is None or self.total_bytes <= self.free_bytes


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one model with one set of options; `exact` marks figures of a dry run."""

    n_gpu_layers: int
    n_layer: int
    devices: tuple[DeviceMemory, ...]
    exact: bool = False

    @property
    def fits(self) -> bool:
        """Whether every device has room for its part."""
        return all(device.fits for device in self.devices)

    @property
    def total_bytes(self) -> int:
        """Bytes over all devices."""
        return sum(device.total_bytes for device in self.devices)
