"""Log-probabilities of drawn tokens, from the model's raw logits and without numpy.

llama.cpp's own samplers do the arithmetic: `dist` turns all logits into probabilities, `top_k` then sorts
the likeliest to the front.
"""

from __future__ import annotations

import ctypes
import math
from array import array
from typing import Any

from kobold_tui.domain.generation import TokenLogprob
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.vocab import Vocab


class LogprobReader:
    """Reads logits of one vocabulary; holds one row of candidates that it uses again and again."""

    def __init__(self, vocab: Vocab) -> None:
        self._vocab = vocab
        self._ids = array("i", range(vocab.n_tokens))
        self._row = array("i", bytes(12 * vocab.n_tokens))  # llama_token_data: id, logit, p

    def read(self, context: int, output: int, token: int, n_alternatives: int) -> TokenLogprob:
        """Return the natural-log probability of `token` at the batch's token `output`, and the best ones."""
        size = self._vocab.n_tokens
        logits = array("i")
        logits.frombytes(ctypes.string_at(C.llama_get_logits_ith(context, output), 4 * size))
        self._row[0::3] = self._ids
        self._row[1::3] = logits
        data = (C.llama_token_data * size).from_buffer(self._row)
        candidates = C.llama_token_data_array(data, size, -1, False)
        _apply(C.llama_sampler_init_dist(0), candidates)
        drawn_logit = data[token].logit
        _apply(C.llama_sampler_init_top_k(max(n_alternatives, 1)), candidates)
        best = candidates.data  # a sampler may point it elsewhere
        best_logit, best_logprob = best[0].logit, math.log(best[0].p)
        alternatives = tuple(
            (best[i].id, self._text(best[i].id), best[i].logit - best_logit + best_logprob)
            for i in range(min(n_alternatives, int(candidates.size)))
        )
        logprob = drawn_logit - best_logit + best_logprob
        return TokenLogprob(token=token, text=self._text(token), logprob=logprob, alternatives=alternatives)

    def _text(self, token: int) -> str:
        return self._vocab.piece(token).decode("utf-8", "replace")


def _apply(sampler: int, candidates: Any) -> None:
    C.llama_sampler_apply(sampler, ctypes.byref(candidates))
    C.llama_sampler_free(sampler)
