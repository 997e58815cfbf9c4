"""One line for each download: how far it is, how fast, and how it ended."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from kobold_tui.domain.job import Job, JobId
from kobold_tui.domain.units import format_bytes
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.row_list import Cell

MOST_LINES = 4
_LEAST_BAR, _MOST_BAR = 6, 16
_ROOM_FOR_ALL = 72
_ENDED = {"done": ("✓", "download--good"), "cancelled": ("◌", "download--quiet")}
_WORDS = {"done": "is here", "cancelled": "stopped; what has arrived is kept"}


class DownloadLines(Widget):
    """The downloads of this run, the running ones first; it takes no room while there are none."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "download--text",
        "download--quiet",
        "download--bar",
        "download--rest",
        "download--good",
        "download--bad",
    }
    DEFAULT_CSS = """
    DownloadLines { height: auto; max-height: 4; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._jobs: dict[JobId, Job] = {}

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The downloads that are shown, in the order of their lines."""
        running = [job for job in self._jobs.values() if job.status == "running"]
        ended = [job for job in self._jobs.values() if job.status != "running"]
        return tuple([*running, *reversed(ended)][:MOST_LINES])

    @property
    def active(self) -> Job | None:
        """The download that is under way."""
        return next((job for job in self.jobs if job.status == "running"), None)

    def show(self, job: Job) -> bool:
        """Take the newest state of a download; returns whether it has just ended.

        What ended before it was ever shown running is old news and left out.
        """
        is_new, has_ended = job.id not in self._jobs, job.status != "running"
        if is_new and has_ended:
            return False
        self._jobs[job.id] = job
        self.refresh(layout=is_new)
        return has_ended

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """Return a line for each download."""
        return len(self.jobs)

    def render_line(self, y: int) -> Strip:
        """Draw one download."""
        width, jobs = self.size.width, self.jobs
        cells = draw_job(jobs[y], width) if y < len(jobs) else []
        segments = [Segment(text, self.get_component_rich_style(name)) for text, name in cells]
        return Strip(segments).adjust_cell_length(width, self.rich_style)


def draw_job(job: Job, width: int) -> list[Cell]:
    """Return the cells of a download's line, exactly `width` columns in all."""
    title = job.title.removeprefix("Download ")
    if job.status != "running":
        mark, colour = _ENDED.get(job.status, ("✗", "download--bad"))
        words = job.failure.title if job.failure else _WORDS.get(job.status, "")
        name = min(cell_len(title), max(0, width // 2))
        told = fit(f"  {words}", max(0, width - 2 - name))
        return [(f"{mark} ", colour), (fit(title, name), "download--text"), (told, colour)]
    bar = max(_LEAST_BAR, min(_MOST_BAR, width // 8))
    full = round((job.fraction or 0.0) * bar)
    share = fit_right(f"{job.fraction:.0%}" if job.fraction is not None else "", 5)
    amount = f"  {format_bytes(job.total)}" if job.total and width >= _ROOM_FOR_ALL else ""
    tail = fit(
        f"{amount}  {job.detail or ('' if job.done else 'starting …')}",
        min(40, max(0, width - 3 - bar - 5 - 12)),
    )
    name = max(0, width - 3 - bar - 5 - cell_len(tail))
    return [
        ("↓ ", "download--good"),
        (f"{fit(title, name)} ", "download--text"),
        ("━" * full, "download--bar"),
        ("━" * (bar - full), "download--rest"),
        (share, "download--text"),
        (tail, "download--quiet"),
    ]
