"""Whether this machine is used as it could be: a card that the installed llama.cpp cannot see is said aloud.

llama.cpp ignores `n_gpu_layers` without a word when it was built for the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kobold_tui.domain.errors import Failure
from kobold_tui.engine.library import accelerators
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread

if TYPE_CHECKING:
    from kobold_tui.hardware.cuda_build import BuildPlan


class MachineService(LoopBound):
    """Questions about the machine that are asked once; each may block and runs in a thread of its own."""

    def __init__(
        self,
        gpu_present: Callable[[], bool],
        plan_build: Callable[[], BuildPlan],
        thread: OwnThread,
        find_accelerators: Callable[[], tuple[str, ...]] = accelerators,
    ) -> None:
        super().__init__()
        self._gpu_present = gpu_present
        self._plan_build = plan_build
        self._thread = thread
        self._find_accelerators = find_accelerators

    async def build_warning(self) -> Failure | None:
        """Return what to do about a card that llama-cpp-python cannot use; None when all is well."""
        self.check_loop()
        return await self._thread.call(self._warning)

    def _warning(self) -> Failure | None:
        if self._find_accelerators() or not self._gpu_present():
            return None
        plan = self._plan_build()
        return Failure(
            title="The GPU is not used",
            message="There is a GPU, but the installed llama-cpp-python was built for the CPU only.",
            hint=f"Run: {plan.command}" if plan.kind != "cpu" else plan.reason,
        )
