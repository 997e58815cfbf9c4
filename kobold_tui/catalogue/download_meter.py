"""How far a download is, told a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from kobold_tui.domain.hub import Progress
from kobold_tui.domain.transfer_rate import TransferRate

PERIOD_SECONDS = 0.2


class Meter:
    """Counts the bytes of all parts of an item; `report` is called in the thread that downloads."""

    def __init__(
        self,
        total_bytes: int,
        report: Callable[[Progress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_bytes
        self._report = report
        self._clock = clock
        self._rate = TransferRate()
        self._finished = 0
        self._told_at = float("-inf")

    def next_file(self, size_bytes: int) -> None:
        """Count a whole file as done; what follows counts for the next one."""
        self._finished += size_bytes

    def arrived(self, of_this_file: int) -> None:
        """Tell how many bytes of the file under way are here."""
        done = self._finished + of_this_file
        now = self._clock()
        self._rate.note(now, done)
        if now - self._told_at < PERIOD_SECONDS and done < self._total:
            return
        self._tell(now, done, self._rate.bytes_per_second, self._rate.seconds_left(self._total))

    def checking(self, of_this_file: int) -> None:
        """Tell how many bytes that were here before have been read again."""
        now = self._clock()
        if now - self._told_at >= PERIOD_SECONDS:
            self._tell(now, self._finished + of_this_file, doing="checking what is here")

    def waiting(self, of_this_file: int, words: str) -> None:
        """Tell why nothing happens; the speed from before the pause no longer counts."""
        self._rate = TransferRate()
        self._tell(self._clock(), self._finished + of_this_file, doing=words)

    def _tell(
        self,
        now: float,
        done: int,
        speed: float | None = None,
        left: float | None = None,
        doing: str = "",
    ) -> None:
        self._told_at = now
        self._report(
            Progress(
                done_bytes=done,
                total_bytes=self._total,
                bytes_per_second=speed,
                seconds_left=left,
                doing=doing,
            )
        )
