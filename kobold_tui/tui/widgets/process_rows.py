"""The rows of the table of processes: what they say, how they are sorted, and which may be ended; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, Telemetry
from kobold_tui.domain.instance import Instance
from kobold_tui.domain.units import format_bytes
from kobold_tui.tui.widgets.cells import Cell, Line, fit_line
from kobold_tui.tui.widgets.fit_text import fit, fit_right

SortKey = Literal["ours", "gpu", "pid", "user", "memory", "load", "process"]
SORT_KEYS: tuple[SortKey, ...] = ("ours", "memory", "load", "gpu", "pid", "user", "process")
UNKNOWN = "n/a"
OUTSIDE = "unknown process"


@dataclass(frozen=True)
class Column:
    """A column of the table; a width of 0 takes what is left."""

    key: SortKey
    title: str
    width: int
    right: bool = True


COLUMNS = (
    Column("gpu", "GPU", 5),
    Column("pid", "PID", 9),
    Column("user", "USER", 10, right=False),
    Column("memory", "MEMORY", 11),
    Column("load", "LOAD", 7),
    Column("process", "PROCESS", 0, right=False),
)
CUTS = (26, 44)
"""Where slices of the table begin; see `CellCanvas`."""


@dataclass(frozen=True)
class ProcessRow:
    """A process on one card, on one slice of a card, or one of our models in RAM."""

    place: str
    order: int
    process: GpuProcess

    @property
    def key(self) -> tuple[str, int]:
        """What names this row from one reading to the next."""
        return self.place, self.process.pid

    @property
    def name(self) -> str:
        """Our model, else the program, as far as that is known."""
        return self.process.instance or self.process.name or OUTSIDE


def process_rows(telemetry: Telemetry, instances: Sequence[Instance] = ()) -> list[ProcessRow]:
    """Return a row for every process on a card, and one for the RAM of each of our models."""
    rows = []
    for order, gpu in enumerate(telemetry.gpus):
        place = str(gpu.index) if gpu.is_visible else f"({gpu.index})"
        rows += [ProcessRow(place, order, process) for process in gpu.processes]
        for each in gpu.mig_instances:
            rows += [ProcessRow(f"{place}:{each.index}", order, process) for process in each.processes]
    pids = {str(instance.id): instance.pid for instance in instances}
    users = {row.process.pid: row.process.user for row in rows if row.process.is_verified}
    for name, n_bytes in telemetry.workers.items():
        pid = pids.get(name)
        process = GpuProcess(
            pid=pid or 0,
            user=users.get(pid or 0),
            memory_bytes=n_bytes,
            instance=name,
            is_verified=pid is not None,
        )
        rows.append(ProcessRow("RAM", len(telemetry.gpus), process))
    return rows


def are_processes_known(gpus: Sequence[GpuSnapshot]) -> bool:
    """Return whether every card tells its processes."""
    return all(gpu.are_processes_known for gpu in gpus)


_VALUES: dict[SortKey, Callable[[ProcessRow], tuple[bool, object]]] = {
    "gpu": lambda row: (False, row.order),
    "pid": lambda row: (not row.process.pid, row.process.pid),
    "user": lambda row: (row.process.user is None, row.process.user or ""),
    "memory": lambda row: (row.process.memory_bytes is None, -(row.process.memory_bytes or 0)),
    "load": lambda row: (row.process.utilization_percent is None, -(row.process.utilization_percent or 0)),
    "process": lambda row: (row.name == OUTSIDE, row.name.casefold()),
}


def sorted_rows(rows: Sequence[ProcessRow], by: SortKey, *, reverse: bool = False) -> list[ProcessRow]:
    """Return rows in order: ours first and then by card and memory, or by one column; unknown values last."""
    found = sorted(rows, key=lambda row: (row.order, *_VALUES["memory"](row)))
    if by == "ours":
        return sorted(found, key=lambda row: row.process.instance is None, reverse=reverse)
    value = _VALUES[by]
    known = sorted((row for row in found if not value(row)[0]), key=value, reverse=reverse)
    return [*known, *(row for row in found if value(row)[0])]


def end_refusal(row: ProcessRow, instances: Sequence[Instance]) -> str | None:
    """Return why a process cannot be ended from here; None for a worker that is surely ours."""
    process = row.process
    if process.instance is None:
        return f"{row.name} (pid {process.pid}) is not one of our models; it is not ours to end."
    if not process.is_verified:
        return (
            f"Whether process {process.pid} is {process.instance} is not certain; unload the model instead."
        )
    instance = next((each for each in instances if each.id == process.instance), None)
    if instance is None or instance.pid != process.pid:
        return f"{process.instance} belongs to another copy of this program."
    return None


def table_head(by: SortKey, width: int, *, reverse: bool) -> Line:
    """Return the head with a mark at the column that sorts."""
    cells: list[Cell] = []
    for column in COLUMNS:
        mark = ("▴" if reverse else "▾") if column.key == by else ""
        look = "strong" if mark else "quiet"
        cells.append((_placed(column, f"{column.title}{mark}"), look))
    return fit_line(cells, width)


def table_line(row: ProcessRow, width: int) -> Line:
    """Return one row of the table."""
    process = row.process
    ours = process.instance is not None
    texts: dict[str, str] = {
        "gpu": row.place,
        "pid": str(process.pid) if process.pid else UNKNOWN,
        "user": process.user or UNKNOWN,
        "memory": UNKNOWN if process.memory_bytes is None else format_bytes(process.memory_bytes),
        "load": UNKNOWN if process.utilization_percent is None else f"{process.utilization_percent} %",
        "process": f"● {row.name}" if ours else row.name,
    }
    looks = {"process": "ours" if ours else "text" if process.name else "quiet", "user": "quiet"}
    cells = [(_placed(column, texts[column.key]), looks.get(column.key, "text")) for column in COLUMNS]
    return fit_line(cells, width)


def column_at(x: int) -> SortKey:
    """Return the column under the pointer."""
    end = 0
    for column in COLUMNS:
        end += column.width + (0 if column.right else 2)
        if x < end or not column.width:
            return column.key
    return COLUMNS[-1].key


def _placed(column: Column, text: str) -> str:
    if column.right:
        return fit_right(text, column.width)
    return "  " + (fit(text, column.width) if column.width else text)
