"""The state of an engine: one writer, legal transitions only, every change told in order."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kobold_tui.domain.instance import (
    Failed,
    InstanceState,
    Loading,
    Ready,
    Starting,
    Stopped,
    Stopping,
)
from kobold_tui.engine.protocol import StateListener

LEGAL: dict[type[InstanceState], tuple[type[InstanceState], ...]] = {
    Stopped: (Starting,),
    Starting: (Loading, Stopping, Failed),
    Loading: (Loading, Ready, Stopping, Failed),
    Ready: (Stopping, Failed),
    Stopping: (Stopped, Failed),
    Failed: (Starting, Stopped),
}
"""From each state to the states that may follow it."""

_log = logging.getLogger(__name__)


class IllegalTransition(AssertionError):  # noqa: N818 - a mistake in the program, no error for people
    """The engine's own code tried a change of state that cannot be."""


class StateCell:
    """The present state and those who want to know of changes; only its owner calls `set`."""

    def __init__(self) -> None:
        self._state: InstanceState = Stopped()
        self._listeners: list[StateListener] = []

    @property
    def state(self) -> InstanceState:
        """The present state."""
        return self._state

    def set(self, state: InstanceState) -> None:
        """Change the state and tell everyone; an equal state is no change.

        A listener that raises is logged and costs neither the engine nor the other listeners anything.
        Raises IllegalTransition.
        """
        if state == self._state:
            return
        if type(state) not in LEGAL[type(self._state)]:
            raise IllegalTransition(f"{self._state!r} cannot become {state!r}")
        self._state = state
        for listener in tuple(self._listeners):
            try:
                listener(state)
            except Exception:  # noqa: BLE001 - what it was is logged, and none of the engine's business
                _log.exception("A listener failed on %r", type(state).__name__)

    def watch(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` on every change; returns how to stop it."""
        self._listeners.append(listener)

        def unwatch() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unwatch
