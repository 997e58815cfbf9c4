"""Services belong to one event loop; awaiting one on another loop is a bug that this turns into an error."""

from __future__ import annotations

import asyncio


class LoopBound:
    """Remembers the loop it was created on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def check_loop(self) -> None:
        """Raise RuntimeError unless the caller runs on the service's own loop."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                f"{type(self).__name__} was used on a loop that is not its own; go through BackendThread"
            )
