"""DRY samplers, copied from one that is kept.

To find the tokens that hold a sequence breaker llama.cpp reads the whole vocabulary: a hundredth of a second
for 50,000 tokens, in which no answer goes on. A copy of the result takes next to no time, and most requests
to a model have the same settings.
"""

from __future__ import annotations

import ctypes
from typing import Any

from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.bindings import C


class DrySampler:
    """Makes DRY samplers for one vocabulary; keeps the one that was made last as a pattern."""

    def __init__(self, vocab: int) -> None:
        self._vocab = vocab
        self._settings: tuple[Any, ...] = ()
        self._pattern: Any = None

    def make(self, options: SamplingOptions, last_n: int) -> Any:
        """Return a new `llama_sampler` that looks back on `last_n` tokens; it has seen none yet."""
        settings = (
            options.dry_multiplier,
            options.dry_base,
            options.dry_allowed_length,
            last_n,
            options.dry_sequence_breakers,
        )
        if self._pattern is None or settings != self._settings:
            self.close()
            self._settings, self._pattern = settings, self._read_vocabulary(*settings)
        return C.llama_sampler_clone(self._pattern)

    def _read_vocabulary(
        self, multiplier: float, base: float, allowed_length: int, last_n: int, breakers: tuple[str, ...]
    ) -> Any:
        texts = (ctypes.c_char_p * len(breakers))(*(text.encode() for text in breakers))
        return C.llama_sampler_init_dry(
            self._vocab, multiplier, base, allowed_length, last_n, texts, len(breakers)
        )

    def close(self) -> None:
        """Give the pattern back; what was made of it lives on."""
        if self._pattern is not None:
            C.llama_sampler_free(self._pattern)
            self._pattern = None
