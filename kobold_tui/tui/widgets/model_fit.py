"""Where the models in view would fit: by their size at once, by prediction as soon as the backend has told.

Only what was drawn is asked for, so a thousand models cost no more than those on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.size_rule import FreeMemory, SizeVerdict, judge_size

STEP_BYTES = 256 * 1024 * 1024
"""A smaller change of what is free is noise: nothing is judged anew for it."""

MOST_AT_ONCE = 32


class FitBook:
    """Verdicts by path; `wanted` is called, once at a time, when there is something to ask for."""

    def __init__(self, wanted: Callable[[], None]) -> None:
        self._call = wanted
        self._free: FreeMemory | None = None
        self._verdicts: dict[str, SizeVerdict] = {}
        self._asked: set[str] = set()
        self._wanted: dict[str, ModelEntry] = {}

    @property
    def free(self) -> FreeMemory | None:
        """What a new model could take; None before the hardware was read."""
        return self._free

    def of(self, model: ModelEntry) -> SizeVerdict | None:
        """Return what is known of a model now, and have the rest asked for."""
        if self._free is None:
            return None
        if model.path not in self._asked:
            if not self._wanted:
                self._call()
            self._wanted[model.path] = model
        return self.known(model)

    def known(self, model: ModelEntry) -> SizeVerdict | None:
        """Return what is known of a model now."""
        if self._free is None:
            return None
        return self._verdicts.get(model.path) or judge_size(model.size_bytes, self._free)

    def take_wanted(self) -> tuple[ModelEntry, ...]:
        """Return what is to be judged next; those drawn last come first."""
        models = tuple(reversed(self._wanted.values()))[:MOST_AT_ONCE]
        self._wanted.clear()
        self._asked.update(model.path for model in models)
        return models

    def learn(self, verdicts: Mapping[str, SizeVerdict]) -> bool:
        """Take verdicts in; returns whether any differs from what was shown."""
        changed = any(self._verdicts.get(path) != verdict for path, verdict in verdicts.items())
        self._verdicts.update(verdicts)
        return changed

    def measure(self, free: FreeMemory) -> bool:
        """Take in what is free; returns whether that is news, so that all is to be judged anew."""
        if self._free is not None and _steps(free) == _steps(self._free):
            return False
        self._free = free
        self._asked.clear()
        return True


def _steps(free: FreeMemory) -> tuple[int, int]:
    return free.vram_bytes // STEP_BYTES, free.ram_bytes // STEP_BYTES
