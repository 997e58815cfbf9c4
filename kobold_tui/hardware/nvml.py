"""The NVIDIA cards of this machine, through NVML.

Never raises: a field that the driver refuses is None, a machine without driver has no cards. A card that is
lost, and all cards while the driver is away, keep their last figures, marked as stale. NVML is opened anew
after the driver went away, and for a lost or a new card, at most every ten seconds.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.hardware.last_figures import LastFigures
from kobold_tui.hardware.nvml_opening import Lost, Opening
from kobold_tui.hardware.nvml_questions import Questions, code_of, words_of

RETRY_AFTER_SECONDS = 10.0
LIBRARY_NOT_FOUND = 12
NO_COUNT = "The driver does not tell how many cards there are."


class NvmlProbe:
    """The cards that NVML knows, as llama.cpp numbers them, then those that it cannot see.

    `environment` has `CUDA_VISIBLE_DEVICES`; below `root` lies /proc. One thread uses it. `driver` is the
    version of the driver that was open last, such as 550.54.15, `cuda_version` the newest CUDA that it runs,
    such as 12.4, `fault` why there is none to ask.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted = environment.get("CUDA_VISIBLE_DEVICES")
        self._devices_folder = root / "proc/driver/nvidia/gpus"
        self._clock = clock
        self._bindings: Any = None
        self._opening: Opening | None = None
        self._retry_at = float("-inf")
        self._last = LastFigures()
        self._nameless_since: float | None = None
        self.fault: str | None = None
        self.driver: str | None = None
        self.cuda_version: str | None = None

    def gpu_present(self) -> bool:
        """Whether there is at least one card."""
        opening = self._open(self._clock())
        return opening is not None and bool(opening.count)

    def snapshot(self) -> tuple[GpuSnapshot, ...]:
        """Return every card as it is now."""
        now = self._clock()
        opening = self._current(now)
        if opening is None:
            self._last.forget(now)
            return _in_order(self._last.of_all(self.fault or NO_COUNT))
        fresh, lost = opening.read(self._wanted)
        for card in fresh:
            self._last.keep(now, card)
        nameless = [*(found for found in lost if not _is_named(found)), *opening.unreachable]
        stale = [self._last.of_lost(now, found.blank, found.fault) for found in lost if _is_named(found)]
        listed = {card.key for card in (*fresh, *stale)}
        if nameless:
            self._nameless_since = now if self._nameless_since is None else self._nameless_since
        else:
            self._nameless_since = None
            self._last.forget(now, listed)
        gone = self._last.of_unlisted(listed)
        hidden = [_without_figures(found, self._nameless_since) for found in nameless[len(gone) :]]
        if now >= self._retry_at and (stale or nameless):
            self.close()
        return _in_order((*fresh, *stale, *gone, *hidden))

    def close(self) -> None:
        """Give the driver back."""
        if self._opening is not None:
            self._opening = None
            Questions(self._bindings).ask("nvmlShutdown")

    def _current(self, now: float) -> Opening | None:
        """Return the open driver, opened anew where its cards are not those of the opening any more."""
        if self._opening is not None:
            questions = Questions(self._bindings)
            count = questions.ask("nvmlDeviceGetCount")
            if count is None:
                self.fault = questions.fault or NO_COUNT
            if count != self._opening.count or self._devices() != self._opening.devices:
                self.close()
        return self._open(now)

    def _open(self, now: float) -> Opening | None:
        if self._opening is None and now >= self._retry_at:
            self._retry_at = now + RETRY_AFTER_SECONDS
            try:
                self._bindings = self._bindings or importlib.import_module("pynvml")
                self._bindings.nvmlInit()
            except Exception as error:  # noqa: BLE001 - a machine without a driver is an ordinary machine
                is_missing = isinstance(error, ImportError) or code_of(error) == LIBRARY_NOT_FOUND
                self.fault = None if is_missing else words_of(error)
                return None
            self._opening = opening = Opening(self._bindings, self._devices())
            self.driver, self.cuda_version = opening.driver, opening.cuda_version
            self.fault = None if opening.count is not None else opening.fault or NO_COUNT
            if opening.count is None:
                self.close()
        return self._opening

    def _devices(self) -> frozenset[str]:
        """Return the cards that the kernel's driver has; NVML itself sees new ones only when it is opened."""
        try:
            return frozenset(os.listdir(self._devices_folder))  # noqa: PTH208 - names are all that is wanted
        except OSError:
            return frozenset()


def _is_named(found: Lost) -> bool:
    """Whether the card tells who it is; one that does not is taken for one that is missed, if any is."""
    return bool(found.blank.uuid or found.blank.pci_bus_id)


def _without_figures(found: Lost, since: float | None) -> GpuSnapshot:
    return msgspec.structs.replace(found.blank, stale_since=since, fault=found.fault)


def _in_order(cards: tuple[GpuSnapshot, ...]) -> tuple[GpuSnapshot, ...]:
    """Return the cards as llama.cpp lists them, then those that it cannot see."""
    return tuple(sorted(cards, key=lambda card: (not card.is_visible, card.index, card.key)))
