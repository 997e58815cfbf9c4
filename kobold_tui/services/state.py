"""What the program remembers between two starts; hand-written settings are never touched."""

from __future__ import annotations

from collections.abc import Callable

from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread


class StateService(LoopBound):
    """Writes single settings into the state file."""

    def __init__(self, save: Callable[[str, object], None], thread: OwnThread) -> None:
        super().__init__()
        self._save = save
        self._thread = thread

    async def remember(self, key: str, value: object) -> None:
        """Store a setting by its dotted key; None forgets it. KoboldError where it cannot be written."""
        self.check_loop()
        await self._thread.call(self._save, key, value)
