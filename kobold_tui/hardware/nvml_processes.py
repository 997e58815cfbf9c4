"""The processes on a card or a slice of it, by the driver's numbers, which can be those of another list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kobold_tui.domain.gpu import GpuProcess
from kobold_tui.hardware.fields import number, percent
from kobold_tui.hardware.nvml_questions import Questions

LISTS = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")


class ProcessList:
    """Reads the processes of one handle; remembers up to when their utilisation was read."""

    def __init__(self) -> None:
        self._read_until = 0

    def read(self, questions: Questions) -> tuple[GpuProcess, ...]:
        """Return the processes, the largest first; one that computes and draws counts once.

        A process without a sample of utilisation since the last round has None there, as `nvidia-smi pmon`
        shows a dash: it need not have been idle.
        """
        memory: dict[int, int | None] = {}
        for function in LISTS:
            for process in questions.ask(function) or ():
                used = number(process.usedGpuMemory)
                memory[process.pid] = max(used or 0, memory.get(process.pid) or 0) or used
        shares = self._utilization(questions) if memory else {}
        found = (
            GpuProcess(pid=pid, memory_bytes=used, utilization_percent=shares.get(pid))
            for pid, used in memory.items()
        )
        return tuple(sorted(found, key=lambda process: (-(process.memory_bytes or 0), process.pid)))

    def _utilization(self, questions: Questions) -> Mapping[int, int | None]:
        samples: list[Any] = questions.ask("nvmlDeviceGetProcessUtilization", self._read_until) or []
        fresh = sorted(
            (sample for sample in samples if sample.timeStamp > self._read_until),
            key=lambda sample: int(sample.timeStamp),
        )
        if fresh:
            self._read_until = fresh[-1].timeStamp
        return {sample.pid: percent(sample.smUtil) for sample in fresh}
