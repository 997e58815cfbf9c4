"""Speed and remaining time of a transfer, from what arrived in its last seconds."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 8.0
"""Long enough to be calm, short enough to follow a connection that slows down."""

LEAST_SECONDS = 0.5
"""A speed of less time than this would be a guess."""


class TransferRate:
    """Takes how much there is at which moment, in seconds of any steady clock."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def note(self, now: float, done_bytes: int) -> None:
        """Take a moment; fewer bytes than before mean that the transfer began anew."""
        if self._points and done_bytes < self._points[-1][1]:
            self._points.clear()
        self._points.append((now, done_bytes))
        while len(self._points) > 2 and now - self._points[1][0] >= WINDOW_SECONDS:
            self._points.popleft()

    @property
    def bytes_per_second(self) -> float | None:
        """Speed over the window; None while too little is known."""
        if len(self._points) < 2:
            return None
        (first, before), (last, after) = self._points[0], self._points[-1]
        elapsed = last - first
        return (after - before) / elapsed if elapsed >= LEAST_SECONDS else None

    def seconds_left(self, total_bytes: int) -> float | None:
        """Return the time until `total_bytes` at this speed; None where nothing moves."""
        speed = self.bytes_per_second
        if not speed or not self._points:
            return None
        return max(0, total_bytes - self._points[-1][1]) / speed
