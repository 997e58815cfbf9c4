"""Long work in the background, as lists and status lines show it."""

from __future__ import annotations

from typing import Literal, NewType

import msgspec

from kobold_tui.domain.errors import Failure

JobId = NewType("JobId", int)
JobStatus = Literal["running", "done", "cancelled", "failed"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job: `done` of `total` units so far (`total` None: unknown), `detail` in words."""

    id: JobId
    title: str
    status: JobStatus = "running"
    done: int = 0
    total: int | None = None
    detail: str = ""
    failure: Failure | None = None

    @property
    def fraction(self) -> float | None:
        """Progress from 0 to 1, None where the end is unknown."""
        return min(self.done / self.total, 1.0) if self.total else None
