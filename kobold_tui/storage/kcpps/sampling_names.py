"""Names of KoboldCpp's API for what the sampling of a preset says."""

from __future__ import annotations

from typing import Any

from kobold_tui.domain.sampling import Sampler

SAMPLING_NAMES: dict[str, str] = {
    "temperature": "temperature",
    "dynatemp_range": "dynatemp_range",
    "dynatemp_exponent": "dynatemp_exponent",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical": "typical_p",
    "nsigma": "top_n_sigma",
    "rep_pen": "repeat_penalty",
    "rep_pen_range": "repeat_last_n",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
    "dry_multiplier": "dry_multiplier",
    "dry_base": "dry_base",
    "dry_allowed_length": "dry_allowed_length",
    "dry_penalty_last_n": "dry_penalty_last_n",
    "dry_sequence_breakers": "dry_sequence_breakers",
    "xtc_threshold": "xtc_threshold",
    "xtc_probability": "xtc_probability",
    "adaptive_target": "adaptive_target",
    "adaptive_decay": "adaptive_decay",
    "logit_bias": "logit_bias",
}
"""Our names by KoboldCpp's, where the value means the same."""

ALIASES: dict[str, str] = {
    "typical_p": "typical",
    "top_n_sigma": "nsigma",
    "repetition_penalty": "rep_pen",
    "repeat_penalty": "rep_pen",
    "max_tokens": "max_length",
    "max_completion_tokens": "max_length",
    "n_predict": "max_length",
    "stop": "stop_sequence",
    "seed": "sampler_seed",
}
"""Further spellings that KoboldCpp's interfaces take."""

NOT_HERE: dict[str, tuple[Any, str]] = {
    "top_a": (0, "There is no top-a."),
    "tfs": (1, "There is no tail-free sampling."),
    "smoothing_factor": (0, "There is no smoothing."),
    "smoothing_curve": (1, "There is no smoothing."),
    "rep_pen_slope": (1, "The penalty is the same over its whole range."),
    "guidance_scale": (1, "There is no negative prompt."),
    "negative_prompt": ("", "There is no negative prompt."),
    "banned_tokens": ([], "Texts are not banned; sampling.banned_tokens bans token ids."),
    "custom_token_bans": ("", "Texts are not banned; sampling.banned_tokens bans token ids."),
    "ban_eos_token": (False, "The end of an answer is the model's choice."),
    "bypass_eos": (False, "The end of an answer is the model's choice."),
    "render_special": (False, "Special tokens are not shown."),
    "max_context_length": (0, "load.n_ctx sets the context."),
    "memory": ("", "A system prompt is the place for it: chat.system_prompt."),
}
"""What this program does not do: the neutral value, and why or what instead."""

ORDER: tuple[tuple[Sampler, ...], ...] = (
    ("top_k",),
    (),  # top-a
    ("top_p", "min_p"),
    (),  # tail-free
    ("typical_p",),
    ("temperature", "top_n_sigma"),
    ("penalties",),
)
"""Samplers by KoboldCpp's number; DRY comes before all of them, XTC and adaptive-p after."""

FIRST: tuple[Sampler, ...] = ("dry",)
LAST: tuple[Sampler, ...] = ("xtc", "adaptive_p")
