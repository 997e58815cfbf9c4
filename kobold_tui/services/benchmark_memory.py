"""What a placement takes of each device, as predicted and as measured."""

from __future__ import annotations

from kobold_tui.domain.benchmark import DeviceBytes
from kobold_tui.domain.gpu import GpuSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.memory import HOST_NAME, MemoryEstimate


def memory_lines(
    estimate: MemoryEstimate | None, before: Telemetry | None, after: Telemetry | None, instance: InstanceId
) -> tuple[DeviceBytes, ...]:
    """Return a line for RAM and each card; `before` and `after` are samples without and with the model.

    A card's figure is that of our process where the driver tells it, else what the card holds more than
    before. Resident RAM counts the pages of the file that are mapped.
    """
    predicted = _predicted(estimate)
    measured = _measured(before, after, instance)
    return tuple(
        DeviceBytes(device=name, predicted_bytes=predicted.get(name), measured_bytes=measured.get(name))
        for name in dict.fromkeys((*predicted, *measured))
    )


def _predicted(estimate: MemoryEstimate | None) -> dict[str, int]:
    devices = estimate.devices if estimate else ()
    return {HOST_NAME if device.is_host else device.name: device.total_bytes for device in devices}


def _measured(before: Telemetry | None, after: Telemetry | None, instance: InstanceId) -> dict[str, int]:
    if after is None:
        return {}
    found = {}
    if instance in after.workers:
        found[HOST_NAME] = after.workers[instance]
    then = {gpu.key: gpu for gpu in before.gpus} if before else {}
    for gpu in after.gpus:
        size = _on_card(gpu, then.get(gpu.key), instance)
        if gpu.is_visible and size is not None:
            found[f"CUDA{gpu.index}"] = size
    return found


def _on_card(now: GpuSnapshot, then: GpuSnapshot | None, instance: InstanceId) -> int | None:
    own = [process.memory_bytes for process in now.processes if process.instance == instance]
    known = [size for size in own if size is not None]
    if known:
        return sum(known)
    if now.memory_used_bytes is None or then is None or then.memory_used_bytes is None:
        return None
    return max(now.memory_used_bytes - then.memory_used_bytes, 0)
