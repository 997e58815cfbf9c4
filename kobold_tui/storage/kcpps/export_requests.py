"""Sampling and stop strings of a preset as KoboldCpp's default values of requests (`gendefaults`)."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from kobold_tui.domain.preset import ChatOptions
from kobold_tui.domain.sampling import Sampler, SamplingOptions
from kobold_tui.storage.kcpps.sampling_names import ORDER, SAMPLING_NAMES

_NOT_IN_KOBOLDCPP = (1, 3)  # top-a and tail-free sampling, which change nothing at their defaults


def requests_of(sampling: SamplingOptions, chat: ChatOptions) -> dict[str, Any]:
    """Return what differs from this program's defaults, by KoboldCpp's names."""
    stated = msgspec.to_builtins(sampling, str_keys=True)
    requests = {name: _plain(stated[ours]) for name, ours in SAMPLING_NAMES.items() if ours in stated}
    if sampling.seed is not None:
        requests["sampler_seed"] = sampling.seed
    if sampling.grammar:
        requests["grammar"] = sampling.grammar
    if sampling.json_schema:
        requests["json_schema"] = sampling.json_schema
    if sampling.order != SamplingOptions().order:
        requests["sampler_order"] = order_ids(sampling.order)
    if chat.stop:
        requests["stop_sequence"] = list(chat.stop)
    return {name: value for name, value in requests.items() if value is not None}


def order_ids(order: tuple[Sampler, ...]) -> list[int]:
    """Return KoboldCpp's numbers in the order of the first sampler that each of them stands for."""
    places = {sampler: place for place, sampler in reversed(list(enumerate(order)))}
    last = len(order)

    def rank(number: int) -> tuple[int, int]:
        return min((places.get(sampler, last) for sampler in ORDER[number]), default=last), number

    numbers = [number for number in range(len(ORDER)) if number not in _NOT_IN_KOBOLDCPP]
    return [*sorted(numbers, key=rank), *_NOT_IN_KOBOLDCPP]


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold, None for numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if math.isfinite(item)}
    return list(value) if isinstance(value, tuple) else value
