"""A grammar as a sampler that never ends the process.

llama.cpp ends the process when its grammar is told of a token that it forbids. Such a token is drawn when
nothing is left to choose from: a ban covers all that the grammar allows, or the vocabulary cannot write it.
The guard stands in the grammar's place in the chain and tells it only of what it allows.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

from kobold_tui.engine.worker.bindings import C


class GrammarGuard:
    """Wraps a grammar's `llama_sampler`; `handle` goes into a chain, which must be freed before `close`.

    `stuck` tells that a token was drawn which the grammar forbids.
    """

    def __init__(self, grammar: Any) -> None:
        self.stuck = False
        self._grammar = grammar
        self._interface = C.llama_sampler_i(
            name=grammar.contents.iface.contents.name,
            accept=C.llama_sampler_i_accept(self._accept),
            apply=C.llama_sampler_i_apply(self._apply),
        )
        self.handle: Any = C.llama_sampler_init(ctypes.byref(self._interface), None)

    def close(self) -> None:
        """Give the grammar back."""
        C.llama_sampler_free(self._grammar)

    def _apply(self, _sampler: Any, candidates: Any) -> None:
        C.llama_sampler_apply(self._grammar, candidates)

    def _accept(self, _sampler: Any, token: int) -> None:
        if self._allows(token):
            C.llama_sampler_accept(self._grammar, token)
        else:
            self.stuck = True

    def _allows(self, token: int) -> bool:
        """Ask the grammar with this token as the only candidate."""
        candidate = C.llama_token_data(token, 0.0, 0.0)
        candidates = C.llama_token_data_array(ctypes.pointer(candidate), 1, -1, False)
        C.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return bool(candidate.logit > -math.inf)
