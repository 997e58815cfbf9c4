"""What kinds of servers speak OpenAI's protocol, and what each can do beyond it.

A server is recognised by who owns its models (`owned_by` of `GET /models`). Sampler names are those of
llama-server's `/completion`, of vLLM's extra parameters and of KoboldCpp's generate call.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kobold_tui.domain.sampling import SamplingOptions

Prefill = Literal["last message", "vllm", "koboldcpp", "none"]
_STANDARD = {
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
}
_KEPT_AT_HOME = frozenset({"prefilter_top_k", "grammar", "json_schema", "logit_bias", "banned_tokens"})


class Flavour(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of server; `samplers` gives its name for each sampling option that it knows."""

    name: str
    samplers: dict[str, str]
    prefill: Prefill = "none"
    grammar_key: str = ""
    has_template_options: bool = False
    tokenizer: Literal["llama-server", "vllm", "koboldcpp", "none"] = "none"


OPENAI = Flavour(name="OpenAI-compatible", samplers=_STANDARD)
LLAMA_SERVER = Flavour(
    name="llama-server",
    samplers={
        **_STANDARD,
        **{
            name: name
            for name in (
                "dynatemp_range",
                "dynatemp_exponent",
                "top_k",
                "min_p",
                "top_n_sigma",
                "xtc_probability",
                "xtc_threshold",
                "repeat_last_n",
                "repeat_penalty",
                "dry_multiplier",
                "dry_base",
                "dry_allowed_length",
                "dry_penalty_last_n",
                "dry_sequence_breakers",
                "mirostat",
                "mirostat_tau",
                "mirostat_eta",
                "adaptive_target",
                "adaptive_decay",
            )
        },
        "typical_p": "typical_p",
    },
    prefill="last message",
    grammar_key="grammar",
    has_template_options=True,
    tokenizer="llama-server",
)
VLLM = Flavour(
    name="vLLM",
    samplers={**_STANDARD, "top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    prefill="vllm",
    grammar_key="structured_outputs.grammar",
    has_template_options=True,
    tokenizer="vllm",
)
KOBOLDCPP = Flavour(
    name="KoboldCpp",
    samplers={
        **_STANDARD,
        "top_k": "top_k",
        "min_p": "min_p",
        "typical_p": "typical",
        "top_n_sigma": "nsigma",
        "xtc_probability": "xtc_probability",
        "xtc_threshold": "xtc_threshold",
        "repeat_last_n": "rep_pen_range",
        "repeat_penalty": "rep_pen",
        "dry_multiplier": "dry_multiplier",
        "dry_base": "dry_base",
        "dry_allowed_length": "dry_allowed_length",
        "dry_penalty_last_n": "dry_penalty_last_n",
        "dry_sequence_breakers": "dry_sequence_breakers",
        "dynatemp_range": "dynatemp_range",
        "dynatemp_exponent": "dynatemp_exponent",
        "mirostat": "mirostat",
        "mirostat_tau": "mirostat_tau",
        "mirostat_eta": "mirostat_eta",
        "adaptive_target": "adaptive_target",
        "adaptive_decay": "adaptive_decay",
    },
    prefill="koboldcpp",
    grammar_key="grammar",
    tokenizer="koboldcpp",
)
_BY_OWNER = {"llamacpp": LLAMA_SERVER, "vllm": VLLM, "koboldcpp": KOBOLDCPP}


def flavour_of(model: dict[str, Any]) -> Flavour:
    """Return the kind of server that lists `model` like this."""
    owner = model.get("owned_by")
    return _BY_OWNER.get(owner.casefold(), OPENAI) if isinstance(owner, str) else OPENAI


def sampling_body(flavour: Flavour, sampling: SamplingOptions) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the part of a request that says how to draw, and the changed options that cannot be said.

    Temperature and top-p always go along, the others where they differ from our defaults or where the
    server's own default may not be ours.
    """
    body: dict[str, object] = {}
    lost: list[str] = []
    neutral = SamplingOptions()
    for name in SamplingOptions.__struct_fields__:
        value = getattr(sampling, name)
        if name in _KEPT_AT_HOME or value is None:
            continue
        if name in flavour.samplers:
            body[flavour.samplers[name]] = list(value) if isinstance(value, tuple) else value
        elif value != getattr(neutral, name):
            lost.append(name)
    _put_bias(body, sampling)
    _put_form(body, flavour, sampling, lost)
    return body, tuple(lost)


def _put_bias(body: dict[str, object], sampling: SamplingOptions) -> None:
    bias = {str(token): value for token, value in sampling.logit_bias.items()}
    bias |= dict.fromkeys(map(str, sampling.banned_tokens), -100.0)
    if bias:
        body["logit_bias"] = bias


def _put_form(body: dict[str, object], flavour: Flavour, sampling: SamplingOptions, lost: list[str]) -> None:
    """Add what the answer must look like."""
    if sampling.json_schema:
        schema = {"name": "answer", "schema": msgspec.json.decode(sampling.json_schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if not sampling.grammar:
        return
    if not flavour.grammar_key:
        lost.append("grammar")
        return
    outer, _, inner = flavour.grammar_key.partition(".")
    body[outer] = {inner: sampling.grammar} if inner else sampling.grammar
