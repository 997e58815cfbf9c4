"""Which card holds which layers: llama.cpp's arithmetic, in the same 32-bit floats.

Layers go to the cards from the last one backwards, and the output is the very first to go (`load_tensors` in
llama-model.cpp). Shares that are whole numbers of layers therefore give exactly these numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory.estimate import Device

_FLOAT = struct.Struct("f")
_MAX_SHARE = 1e30


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """Units from `starts[i]` up to `starts[i + 1]` are on card `i`, those before the first one in RAM.

    Units are the blocks and, as the last one, the output. `n_used` is how many cards llama.cpp is given.
    """

    n_gpu_layers: int
    starts: tuple[int, ...]
    n_used: int


def chosen_cards(options: LoadOptions, cards: Sequence[Device]) -> list[int]:
    """Return the cards that a load uses, as indices in the order in which they are filled."""
    if options.devices:
        names = [card.name for card in cards]
        chosen = [names.index(name) for name in options.devices if name in names]
    else:
        chosen = list(range(len(cards)))
    if options.split_mode == "none":
        return chosen[options.main_gpu : options.main_gpu + 1]
    return chosen


def assign(n_units: int, options: LoadOptions, cards: Sequence[Device]) -> Assignment:
    """Return which of the cards to use, in their order, holds what."""
    requested = n_units if options.n_gpu_layers == "auto" else options.n_gpu_layers
    n_gpu_layers = min(requested, n_units) if cards else 0
    start = n_units - n_gpu_layers
    starts = [start]
    if n_gpu_layers and cards:
        starts += [start + end for end in _ends(n_gpu_layers, _shares(options, cards))]
    else:
        starts += [n_units] * len(cards)
    return Assignment(n_gpu_layers=n_gpu_layers, starts=tuple(starts), n_used=len(cards))


def _shares(options: LoadOptions, cards: Sequence[Device]) -> list[float]:
    shares = [min(share, _MAX_SHARE) for share in options.tensor_split[: len(cards)]]
    shares += [0.0] * (len(cards) - len(shares))
    if any(shares):
        return shares
    free = [float(card.free_bytes or 0) for card in cards]
    return free if any(free) else [1.0] * len(cards)


def _ends(n_units: int, shares: list[float]) -> list[int]:
    """Return for each card the number of units on it and on those before it."""
    total, sums = 0.0, []
    for share in shares:
        total = _rounded(total + _rounded(share))
        sums.append(total)
    return [_first_at_least(_rounded(part / total), n_units) for part in sums]


def _first_at_least(threshold: float, n_units: int) -> int:
    """Return the first unit whose quotient k / n_units reaches a card's threshold (`std::upper_bound`)."""
    unit = min(int(threshold * n_units), n_units)
    while unit < n_units and _rounded(unit / n_units) < threshold:
        unit += 1
    return unit


def _rounded(value: float) -> float:
    """Return a number as a 32-bit float holds it."""
    return float(_FLOAT.unpack(_FLOAT.pack(value))[0])
