"""Sampling options as a chain of llama.cpp's samplers, and log-probabilities of what was drawn.

Order: biases and bans, grammar, a wide prefilter for large vocabularies, the samplers in the order that the
options name, then the one that draws. Samplers with neutral values are left out, and so is the prefilter
where the first sampler is a top-k, which costs less than it. The prompt is fed to the penalties one by one
and never to the grammar, which rules the answer alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.sampling import Sampler, SamplingOptions
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.grammar_guard import GrammarGuard
from kobold_tui.engine.worker.vocab import Vocab

_LARGE_VOCAB = 100_000
_MIN_KEEP = 1
_MIROSTAT_CANDIDATES = 100  # m of the Mirostat paper, as in llama.cpp's common/sampling.cpp
_GRAMMAR_HINT = "A GBNF grammar needs a rule called root; the log pane names the place of the error."


class SamplerChain:
    """An `llama_sampler` chain for one answer; `free` gives it back."""

    def __init__(self, vocab: Vocab, options: SamplingOptions, prompt: Sequence[int], n_ctx: int) -> None:
        self._vocab = vocab
        self._options = options
        self._prompt = prompt
        self._n_ctx = n_ctx
        self._unlinked: list[int] = []
        self._grammar: GrammarGuard | None = None
        self.handle: int = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        try:
            self._build()
        except BaseException:
            self.free()
            raise

    def sample(self, context: int, output: int) -> int:
        """Draw from the logits of the batch's token `output`, and remember the token."""
        return int(C.llama_sampler_sample(self.handle, context, output))

    def accept(self, token: int) -> None:
        """Remember a token that was not drawn."""
        C.llama_sampler_accept(self.handle, token)

    @property
    def stuck(self) -> bool:
        """Whether the token drawn last is none that the grammar allows: it had left nothing to draw."""
        return self._grammar is not None and self._grammar.stuck

    def names(self) -> tuple[str, ...]:
        """Names of the samplers in the chain, in order, as llama.cpp calls them."""
        members = range(C.llama_sampler_chain_n(self.handle))
        return tuple(
            C.llama_sampler_name(C.llama_sampler_chain_get(self.handle, member)).decode()
            for member in members
        )

    def free(self) -> None:
        """Give the samplers back. Idempotent."""
        for sampler in self._unlinked:
            C.llama_sampler_free(sampler)
        self._unlinked.clear()
        if self.handle:
            C.llama_sampler_free(self.handle)
            self.handle = 0
            if self._grammar is not None:
                self._grammar.close()

    @property
    def _seed(self) -> int:
        return int(C.LLAMA_DEFAULT_SEED) if self._options.seed is None else self._options.seed

    def _add(self, sampler: int) -> None:
        self._unlinked.append(sampler)

    def _link(self) -> None:
        """Move the samplers into the chain, which frees them from then on."""
        for sampler in self._unlinked:
            C.llama_sampler_chain_add(self.handle, sampler)
        self._unlinked.clear()

    def _build(self) -> None:
        options = self._options
        self._add_biases()
        self._add_grammar()
        self._link()
        kept = _kept_samplers(options)
        for name in options.order:
            if name in kept:
                _ADDERS[name](self)
        self._add_choice()
        if self._needs_prefilter(self._unlinked[0]):
            self._unlinked.insert(0, C.llama_sampler_init_top_k(options.prefilter_top_k))
        self._link()

    def _needs_prefilter(self, first: int) -> bool:
        """Whether the samplers from `first` on would look at all of a large vocabulary several times."""
        if not self._options.prefilter_top_k or self._vocab.n_tokens <= _LARGE_VOCAB:
            return False
        return self._options.temperature > 0 and C.llama_sampler_name(first) != b"top-k"

    def _add_biases(self) -> None:
        biases = {**self._options.logit_bias, **dict.fromkeys(self._options.banned_tokens, -math.inf)}
        unknown = [token for token in biases if not 0 <= token < self._vocab.n_tokens]
        if unknown:
            raise EngineError(
                "Unknown token",
                f"The bias or ban names token {unknown[0]}; the vocabulary has {self._vocab.n_tokens:,}.",
                "Token ids belong to one model; look them up with this one.",
            )
        if biases:
            array = (C.llama_logit_bias * len(biases))(*biases.items())
            self._add(C.llama_sampler_init_logit_bias(self._vocab.n_tokens, len(biases), array))

    def _add_grammar(self) -> None:
        options = self._options
        if options.grammar and options.json_schema:
            raise EngineError("Two grammars", "A grammar and a JSON schema were given.", "Give one of them.")
        text = options.grammar or (schema_to_gbnf(options.json_schema) if options.json_schema else "")
        if not text.strip():
            return
        grammar = C.llama_sampler_init_grammar(self._vocab.handle, text.encode(), b"root")
        if not grammar:
            raise EngineError("Bad grammar", "llama.cpp cannot read the grammar.", _GRAMMAR_HINT)
        self._grammar = GrammarGuard(grammar)
        self._add(self._grammar.handle)

    def _add_remembering(self, sampler: int, last_n: int) -> None:
        """Add a sampler that looks back, after showing it the end of the prompt."""
        window = self._n_ctx if last_n < 0 else last_n
        for token in self._prompt[-window:]:
            C.llama_sampler_accept(sampler, token)
        self._add(sampler)

    def _add_penalties(self) -> None:
        options = self._options
        neutral = (
            options.repeat_penalty == 1 and not options.frequency_penalty and not options.presence_penalty
        )
        if neutral or not options.repeat_last_n:
            return
        if options.repeat_penalty == 0:
            raise EngineError(
                "Bad penalty", "A repetition penalty of 0 means nothing.", "1 switches the penalty off."
            )
        sampler = C.llama_sampler_init_penalties(
            self._vocab.n_tokens,
            self._n_ctx if options.repeat_last_n < 0 else options.repeat_last_n,
            options.repeat_penalty,
            options.frequency_penalty,
            options.presence_penalty,
        )
        self._add_remembering(sampler, options.repeat_last_n)

    def _add_dry(self) -> None:
        options = self._options
        if not options.dry_multiplier or not options.dry_penalty_last_n:
            return
        last_n = self._n_ctx if options.dry_penalty_last_n < 0 else options.dry_penalty_last_n
        sampler = self._vocab.dry.make(options, last_n)
        self._add_remembering(sampler, options.dry_penalty_last_n)

    def _add_top_n_sigma(self) -> None:
        if self._options.top_n_sigma > 0:
            self._add(C.llama_sampler_init_top_n_sigma(self._options.top_n_sigma))

    def _add_top_k(self) -> None:
        if self._options.top_k > 0:
            self._add(C.llama_sampler_init_top_k(self._options.top_k))

    def _add_typical_p(self) -> None:
        if self._options.typical_p < 1:
            self._add(C.llama_sampler_init_typical(self._options.typical_p, _MIN_KEEP))

    def _add_top_p(self) -> None:
        if self._options.top_p < 1:
            self._add(C.llama_sampler_init_top_p(self._options.top_p, _MIN_KEEP))

    def _add_min_p(self) -> None:
        if self._options.min_p > 0:
            self._add(C.llama_sampler_init_min_p(self._options.min_p, _MIN_KEEP))

    def _add_xtc(self) -> None:
        options = self._options
        if options.xtc_probability > 0 and options.xtc_threshold <= 0.5:  # above 0.5 it can drop nothing
            self._add(
                C.llama_sampler_init_xtc(
                    options.xtc_probability, options.xtc_threshold, _MIN_KEEP, self._seed
                )
            )

    def _add_temperature(self) -> None:
        options = self._options
        if options.dynatemp_range > 0:
            extent, exponent = options.dynatemp_range, options.dynatemp_exponent
            self._add(C.llama_sampler_init_temp_ext(options.temperature, extent, exponent))
        elif options.temperature != 1:
            self._add(C.llama_sampler_init_temp(options.temperature))

    def _add_infill(self) -> None:
        self._add(C.llama_sampler_init_infill(self._vocab.handle))

    def _add_choice(self) -> None:
        """Add the last sampler, the one that draws."""
        options, seed = self._options, self._seed
        if options.temperature == 0:
            self._add(C.llama_sampler_init_greedy())
        elif options.mirostat == 1:
            tau, eta = options.mirostat_tau, options.mirostat_eta
            n_vocab = self._vocab.n_tokens
            self._add(C.llama_sampler_init_mirostat(n_vocab, seed, tau, eta, _MIROSTAT_CANDIDATES))
        elif options.mirostat == 2:
            self._add(C.llama_sampler_init_mirostat_v2(seed, options.mirostat_tau, options.mirostat_eta))
        elif "adaptive_p" in options.order and options.adaptive_target >= 0:
            target, decay = options.adaptive_target, options.adaptive_decay
            self._add(C.llama_sampler_init_adaptive_p(target, decay, seed))
        else:
            self._add(C.llama_sampler_init_dist(seed))


_ADDERS: dict[Sampler, Callable[[SamplerChain], None]] = {
    "penalties": SamplerChain._add_penalties,  # noqa: SLF001 - the table belongs to the class
    "dry": SamplerChain._add_dry,  # noqa: SLF001 - as above
    "top_n_sigma": SamplerChain._add_top_n_sigma,  # noqa: SLF001 - as above
    "top_k": SamplerChain._add_top_k,  # noqa: SLF001 - as above
    "typical_p": SamplerChain._add_typical_p,  # noqa: SLF001 - as above
    "top_p": SamplerChain._add_top_p,  # noqa: SLF001 - as above
    "min_p": SamplerChain._add_min_p,  # noqa: SLF001 - as above
    "xtc": SamplerChain._add_xtc,  # noqa: SLF001 - as above
    "temperature": SamplerChain._add_temperature,  # noqa: SLF001 - as above
    "infill": SamplerChain._add_infill,  # noqa: SLF001 - as above
}


def _kept_samplers(options: SamplingOptions) -> set[Sampler]:
    """Samplers that have a say: greedy keeps the penalties alone, Mirostat drops those that truncate."""
    if options.temperature == 0:
        return {"penalties", "dry"}
    if options.mirostat:
        return {"penalties", "dry", "temperature"}
    return set(_ADDERS)


def schema_to_gbnf(schema: str) -> str:
    """Return a grammar for a JSON schema. Raises EngineError for what is no schema or refers elsewhere."""
    try:
        document = json.loads(schema)
    except json.JSONDecodeError as error:
        raise EngineError("Bad JSON schema", f"The JSON schema is not JSON: {error}.") from error
    if _refers_elsewhere(document):
        raise EngineError(
            "Bad JSON schema",
            "The JSON schema refers to another document.",
            "Copy what it refers to into its own $defs.",
        )
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        return str(json_schema_to_gbnf(schema))
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError, AttributeError) as error:
        raise EngineError(
            "JSON schema not supported",
            f"The JSON schema cannot be turned into a grammar: {error}.",
            "Leave out the keyword, or write a GBNF grammar.",
        ) from error


def _refers_elsewhere(node: Any) -> bool:
    match node:
        case dict():
            target = node.get("$ref", "#")
            return (isinstance(target, str) and not target.startswith("#")) or any(
                _refers_elsewhere(value) for value in node.values()
            )
        case list():
            return any(_refers_elsewhere(value) for value in node)
    return False
