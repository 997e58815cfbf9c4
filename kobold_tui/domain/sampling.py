"""How the next token is chosen: every sampler of llama.cpp with its parameters, in llama.cpp's names.

A neutral value takes its sampler out of the chain, so the default chain holds only what does something.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

Sampler = Literal[
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "typical_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
    "infill",
    "adaptive_p",
]
DEFAULT_ORDER: tuple[Sampler, ...] = tuple(s for s in get_args(Sampler) if s != "infill")


class SamplingOptions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Parameters of the sampler chain; temperature 0 is greedy and ignores all but penalties and bans."""

    temperature: Annotated[
        float, Meta(ge=0, le=100, title="Temperature", description="0 always takes the likeliest token.")
    ] = 0.8
    dynatemp_range: Annotated[
        float, Meta(ge=0, title="Dynamic range", description="Temperature varies by this much; 0 is off.")
    ] = 0.0
    dynatemp_exponent: Annotated[
        float, Meta(ge=0, title="Dynamic exponent", description="How entropy maps to temperature.")
    ] = 1.0
    top_k: Annotated[int, Meta(ge=0, title="Top-k", description="Keep the k likeliest tokens; 0 is off.")] = (
        40
    )
    top_p: Annotated[
        float,
        Meta(ge=0, le=1, title="Top-p", description="Keep the likeliest tokens up to this mass; 1 is off."),
    ] = 0.95
    min_p: Annotated[
        float,
        Meta(
            ge=0, le=1, title="Min-p", description="Drop tokens below this share of the likeliest; 0 is off."
        ),
    ] = 0.05
    typical_p: Annotated[
        float, Meta(ge=0, le=1, title="Typical-p", description="Locally typical mass; 1 is off.")
    ] = 1.0
    top_n_sigma: Annotated[
        float,
        Meta(ge=0, title="Top-n-sigma", description="Keep logits within n standard deviations; 0 is off."),
    ] = 0.0
    xtc_probability: Annotated[
        float,
        Meta(ge=0, le=1, title="XTC probability", description="Chance to drop the top choices; 0 is off."),
    ] = 0.0
    xtc_threshold: Annotated[
        float, Meta(ge=0, le=1, title="XTC threshold", description="Tokens above it can be dropped.")
    ] = 0.1
    repeat_last_n: Annotated[
        int,
        Meta(ge=-1, title="Penalty range", description="Tokens looked back on; -1 is the context, 0 is off."),
    ] = 64
    repeat_penalty: Annotated[
        float, Meta(ge=0, title="Repetition penalty", description="1 is off. KoboldCpp: rep_pen.")
    ] = 1.0
    frequency_penalty: Annotated[float, Meta(title="Frequency penalty", description="0 is off.")] = 0.0
    presence_penalty: Annotated[float, Meta(title="Presence penalty", description="0 is off.")] = 0.0
    dry_multiplier: Annotated[
        float, Meta(ge=0, title="DRY strength", description="Penalty for repeated sequences; 0 is off.")
    ] = 0.0
    dry_base: Annotated[
        float, Meta(ge=0, title="DRY base", description="Growth with the length of the repetition.")
    ] = 1.75
    dry_allowed_length: Annotated[
        int, Meta(ge=0, title="DRY free length", description="Repetitions up to here are free.")
    ] = 2
    dry_penalty_last_n: Annotated[
        int, Meta(ge=-1, title="DRY range", description="Tokens looked back on; -1 is the context.")
    ] = -1
    dry_sequence_breakers: Annotated[
        tuple[str, ...], Meta(title="DRY breakers", description="Strings that end a sequence.")
    ] = ("\n", ":", '"', "*")
    mirostat: Annotated[
        Literal[0, 1, 2],
        Meta(title="Mirostat", description="Version; replaces the truncating samplers; 0 is off."),
    ] = 0
    mirostat_tau: Annotated[float, Meta(ge=0, title="Mirostat tau", description="Target surprise.")] = 5.0
    mirostat_eta: Annotated[float, Meta(ge=0, title="Mirostat eta", description="Learning rate.")] = 0.1
    adaptive_target: Annotated[
        float,
        Meta(ge=-1, le=1, title="Adaptive-p target", description="Probability to aim at; negative is off."),
    ] = -1.0
    adaptive_decay: Annotated[
        float, Meta(ge=0, le=0.99, title="Adaptive-p decay", description="How fast it adapts.")
    ] = 0.9
    order: Annotated[
        tuple[Sampler, ...],
        Meta(title="Order", description="Samplers in the order they run; those left out are off."),
    ] = DEFAULT_ORDER
    prefilter_top_k: Annotated[
        int,
        Meta(
            ge=0,
            title="Prefilter",
            description="Wide top-k ahead of the chain for vocabularies above 100,000; 0 is off.",
        ),
    ] = 3000
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=0xFFFFFFFE)] | None,
        Meta(title="Seed", description="The same seed gives the same text; none is random."),
    ] = None
    grammar: Annotated[str, Meta(title="Grammar", description="GBNF that the answer must follow.")] = ""
    json_schema: Annotated[
        str, Meta(title="JSON schema", description="JSON schema that the answer must follow.")
    ] = ""
    logit_bias: Annotated[
        dict[int, float], Meta(title="Logit bias", description="Added to a token's logit, by token id.")
    ] = {}
    banned_tokens: Annotated[
        tuple[int, ...], Meta(title="Banned tokens", description="Token ids that are never drawn.")
    ] = ()
