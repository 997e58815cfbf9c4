"""Live memory of every card and of the machine, as one stacked bar each."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.widgets import Static

from kobold_tui.domain.gpu import GpuSnapshot, Telemetry
from kobold_tui.domain.units import format_gib
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneSpec
from kobold_tui.tui.widgets.vram_bar import Segment, VramBar

HELP = """\
Memory as it is now, read once a second (every two seconds over SSH). Each bar is one device: what our models
hold, what other programs hold, and what is free. Without a GPU it shows the machine's RAM, or the container's
limit where that is tighter. When a driver does not answer, the last figures stay, dimmed, with their age.
"""


class MemoryPane(Pane):
    """One line of figures and one bar for every device."""

    DEFAULT_CSS = """
    MemoryPane { height: auto; padding: 0 1; }
    MemoryPane Static { height: 1; }
    MemoryPane.-stale { opacity: 50%; }
    """

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "memory")
        self.border_title = "Memory"
        self._devices: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Start with the line that every machine has."""
        yield Static("reading …", classes="memory-figures", markup=False)

    async def watch_reading(self, reading: Reading | None) -> None:
        """Show the newest figures."""
        if reading is None or not self.is_mounted:
            return
        self.set_class(reading.stale_since is not None, "-stale")
        self.border_subtitle = "not answering" if reading.stale_since is not None else ""
        if reading.telemetry is not None:
            await self._show(reading.telemetry)

    async def _show(self, telemetry: Telemetry) -> None:
        rows = list(device_rows(telemetry))
        names = tuple(name for name, *_ in rows)
        if names != self._devices:
            self._devices = names
            await self.remove_children()
            for _ in rows:
                await self.mount(Static(classes="memory-figures", markup=False), VramBar())
        figures, bars = list(self.query(".memory-figures").results(Static)), list(self.query(VramBar))
        for (_, text, segments, total), figure, bar in zip(rows, figures, bars, strict=True):
            figure.update(text)
            bar.show(segments, total)


def device_rows(telemetry: Telemetry) -> Iterator[tuple[str, str, tuple[Segment, ...], int]]:
    """Return name, figures, segments and total bytes of every card, then of the machine's RAM."""
    for gpu in telemetry.gpus:
        yield f"gpu{gpu.index}", _gpu_figures(gpu), _gpu_segments(gpu), gpu.memory_total_bytes or 0
    host = telemetry.host
    ours = min(sum(telemetry.workers.values()), host.memory_used_bytes)
    cpu = f"  CPU {host.cpu_percent:.0f} %" if host.cpu_percent is not None else ""
    text = f"RAM {format_gib(host.memory_used_bytes)} / {format_gib(host.memory_total_bytes)} GiB{cpu}"
    segments = (
        Segment("model", "models", ours),
        Segment("other", "other programs", host.memory_used_bytes - ours),
    )
    yield "ram", text, segments, host.memory_total_bytes


def _gpu_figures(gpu: GpuSnapshot) -> str:
    used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
    memory = f"{format_gib(used)} / {format_gib(total)} GiB" if used is not None and total else "n/a"
    load = f"{gpu.utilization_percent} %" if gpu.utilization_percent is not None else "n/a"
    heat = f"{gpu.temperature_c} °C" if gpu.temperature_c is not None else "n/a"
    return f"GPU {gpu.index}  {memory}  {load}  {heat}"


def _gpu_segments(gpu: GpuSnapshot) -> tuple[Segment, ...]:
    used = gpu.memory_used_bytes or 0
    ours = min(used, sum(p.memory_bytes or 0 for p in gpu.processes if p.instance))
    return Segment("model", "models", ours), Segment("other", "other programs", used - ours)


PANE = PaneSpec(
    id="memory",
    title="Memory",
    region="side",
    order=20,
    key="f3",
    summary="what GPUs and the machine hold",
    help=HELP,
    build=MemoryPane,
)
