"""Ten minutes of the gauge's figures in memory, one point a sample, for every card and for the machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kobold_tui.domain.gpu import GpuPoint, GpuSnapshot, HostPoint, HostSnapshot

KEPT_SECONDS = 600.0
MOST_POINTS = 6000
MOST_CARDS = 128


class GpuHistory:
    """Keeps points by the key of their card; what is older than ten minutes goes."""

    def __init__(self) -> None:
        self._cards: dict[str, deque[GpuPoint]] = {}
        self._host: deque[HostPoint] = deque(maxlen=MOST_POINTS)

    def note_gpus(self, taken_at: float, gpus: Iterable[GpuSnapshot]) -> None:
        """Add a point for every card that has answered."""
        for gpu in gpus:
            if gpu.stale_since is None:
                self._points(gpu.key).append(
                    GpuPoint(
                        taken_at=taken_at,
                        memory_used_bytes=gpu.memory_used_bytes,
                        utilization_percent=gpu.utilization_percent,
                        power_w=gpu.power_w,
                        temperature_c=gpu.temperature_c,
                    )
                )
        for points in self._cards.values():
            _drop_old(points, taken_at)
        self._cards = {key: points for key, points in self._cards.items() if points}

    def note_host(self, taken_at: float, host: HostSnapshot) -> None:
        """Add a point for the machine."""
        point = HostPoint(
            taken_at=taken_at, memory_used_bytes=host.memory_used_bytes, cpu_percent=host.cpu_percent
        )
        self._host.append(point)
        _drop_old(self._host, taken_at)

    def of_gpu(self, key: str) -> tuple[GpuPoint, ...]:
        """Return the points of a card, the oldest first; empty for one that has none."""
        return tuple(self._cards.get(key, ()))

    def of_host(self) -> tuple[HostPoint, ...]:
        """Return the points of the machine, the oldest first."""
        return tuple(self._host)

    def _points(self, key: str) -> deque[GpuPoint]:
        if key not in self._cards and len(self._cards) >= MOST_CARDS:
            self._cards.pop(next(iter(self._cards)))
        return self._cards.setdefault(key, deque(maxlen=MOST_POINTS))


def _drop_old(points: deque[GpuPoint] | deque[HostPoint], now: float) -> None:
    while points and now - points[0].taken_at > KEPT_SECONDS:
        points.popleft()
