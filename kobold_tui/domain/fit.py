"""The best placement of a model in given free memory, and the largest context for a given placement.

A placement counts as fitting when every card and RAM keep their reserve. The search plans on predictions; a
dry run of its proposal is handed back with `reject` or `improve`: the caller decides when and how to make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import ComputeLevels, Device, ExtraFiles, MemoryEstimate, ModelShape, predict
from kobold_tui.domain.packing import Packer
from kobold_tui.domain.units import format_bytes

PlacementKind = Literal["all", "experts_in_ram", "partly", "cpu", "no"]
Verdict = Literal["gpu", "partly", "cpu", "no"]

_VERDICTS: dict[PlacementKind, Verdict] = {
    "all": "gpu",
    "experts_in_ram": "partly",
    "partly": "partly",
    "cpu": "cpu",
    "no": "no",
}
_CONTEXT_STEP = 256
_MAX_CONTEXT = 16_777_216
_MAX_CORRECTIONS = 8
_ALMOST_FULL = 4
"""A card with less than this part of the largest one's room may be more of a burden than of use."""

_LEAST_CORRECTION_BYTES = 8 << 20


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Options that place a model, what they take, and why they are the best; `no` is what fits nowhere."""

    options: LoadOptions
    estimate: MemoryEstimate
    kind: PlacementKind
    why: str


class PlacementSearch:
    """Proposes placements: the best by prediction first, then others as dry runs tell more.

    Options that are set stay as they are, apart from the layers on GPUs, the split over several cards where
    none is given, and the experts in RAM, of which there may be more.
    """

    def __init__(
        self,
        shape: ModelShape,
        options: LoadOptions,
        devices: Sequence[Device],
        *,
        levels: ComputeLevels | None = None,
        files: ExtraFiles | None = None,
    ) -> None:
        self._shape = shape
        self._options = options
        self._devices = tuple(devices)
        self._packer = Packer(shape, devices, levels=levels, files=files)
        self._corrections = 0

    def first(self) -> Placement:
        """Return the best placement by prediction.

        A model that fits whole on one card goes to the fullest such card: a split costs copies, and what is
        left elsewhere stays in one piece. Cards that are almost full are left out where that helps.
        """
        for card in self._single_cards():
            found = self._packer.pack(_on(self._options, (card,)), self._shape.n_units)
            if found is not None:
                return self._placement(found, "all")
        best = self._among(self._options)
        for cards in self._without_full_cards() if best.kind != "all" else ():
            other = self._among(_on(self._options, cards))
            best = other if _rank(other) > _rank(best) else best
        return best

    def _among(self, options: LoadOptions) -> Placement:
        """Return the best placement on the cards that the options name."""
        packer, shape = self._packer, self._shape
        everything = packer.pack(options, shape.n_units)
        if everything is not None:
            return self._placement(everything, "all")
        if shape.has_experts and (found := packer.fewest_experts_in_ram(options)):
            return self._placement(found, "experts_in_ram")
        most = packer.most_layers(options)
        if most is not None and most[1].n_gpu_layers:
            return self._placement(most, "partly")
        return self._in_ram()

    def _single_cards(self) -> tuple[str, ...]:
        """Return the cards by what they have left, the fullest first; none where the options choose."""
        options = self._options
        cards = [card for card in self._devices if not card.is_host]
        if len(cards) < 2 or options.devices or options.tensor_split or options.split_mode != "layer":
            return ()
        known = [card for card in cards if card.budget_bytes is not None]
        return tuple(card.name for card in sorted(known, key=lambda card: card.budget_bytes or 0))

    def _without_full_cards(self) -> tuple[tuple[str, ...], ...]:
        """Return the cards without the fullest, without the two fullest and so on, in llama.cpp's order."""
        by_room = self._single_cards()
        order = [card.name for card in self._devices if not card.is_host]
        budgets = {card.name: card.budget_bytes or 0 for card in self._devices}
        largest = max((budgets[name] for name in by_room), default=0)
        full = [name for name in by_room if budgets[name] * _ALMOST_FULL < largest]
        left_out = (set(full[: count + 1]) for count in range(len(full)))
        return tuple(tuple(name for name in order if name not in out) for out in left_out)

    def reject(self, candidate: Placement, exact: MemoryEstimate) -> Placement:
        """Return the next placement after a dry run has shown that a candidate does not fit."""
        self._corrections += 1
        if self._corrections > _MAX_CORRECTIONS:
            return self._in_ram()
        self._packer.correct(candidate.estimate, exact, least=_LEAST_CORRECTION_BYTES << self._corrections)
        return self.first()

    def improve(self, candidate: Placement, exact: MemoryEstimate) -> Placement | None:
        """Return a placement with more on the cards where a dry run leaves room, None where there is none."""
        self._corrections += 1
        if self._corrections > _MAX_CORRECTIONS or candidate.kind in {"all", "cpu", "no"}:
            return None
        self._packer.correct(candidate.estimate, exact, least=None)
        better = self.first()
        return better if _rank(better) > _rank(candidate) else None

    def _in_ram(self) -> Placement:
        """Return the placement without layers on cards; the cards help with prompts where they have room."""
        found = self._packer.predict(msgspec.structs.replace(self._options, n_gpu_layers=0))
        helped = found.fits and self._options.op_offload
        options = msgspec.structs.replace(self._options, n_gpu_layers=0, op_offload=helped)
        estimate = self._packer.predict(options)
        return self._placement((options, estimate), "cpu" if estimate.fits else "no")

    def _placement(self, found: tuple[LoadOptions, MemoryEstimate], kind: PlacementKind) -> Placement:
        options, estimate = found
        why = _why(self._shape, estimate, kind, options)
        return Placement(options=options, estimate=estimate, kind=kind, why=why)


def _on(options: LoadOptions, cards: tuple[str, ...]) -> LoadOptions:
    return msgspec.structs.replace(options, devices=cards)


def best_placement(
    shape: ModelShape,
    options: LoadOptions,
    devices: Sequence[Device],
    *,
    levels: ComputeLevels | None = None,
    files: ExtraFiles | None = None,
) -> Placement:
    """Return the best placement by prediction alone.

    All layers on the cards if they fit; else the experts of as few layers as needed in RAM; else as many
    layers as fit, over several cards by whole layers; else RAM alone.
    """
    return PlacementSearch(shape, options, devices, levels=levels, files=files).first()


def verdict(shape: ModelShape, options: LoadOptions, devices: Sequence[Device]) -> Verdict:
    """Return in a word where a model would run: on the cards, partly there, in RAM, or nowhere."""
    return _VERDICTS[best_placement(shape, options, devices).kind]


def largest_context(
    shape: ModelShape,
    options: LoadOptions,
    devices: Sequence[Device],
    *,
    levels: ComputeLevels | None = None,
    files: ExtraFiles | None = None,
) -> Placement:
    """Return the same placement with the largest context that fits, at most what the model is trained for."""

    def attempt(steps: int) -> tuple[LoadOptions, MemoryEstimate]:
        changed = msgspec.structs.replace(options, n_ctx=steps * _CONTEXT_STEP)
        return changed, predict(shape, changed, devices, levels=levels, files=files)

    most = max(min(shape.n_ctx_train or _MAX_CONTEXT, _MAX_CONTEXT) // _CONTEXT_STEP, 1)
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if attempt(middle)[1].fits:
            low = middle
        else:
            high = middle - 1
    found = attempt(max(low, 1))
    if not low:
        return Placement(options=found[0], estimate=found[1], kind="no", why=_too_small(found[1]))
    tokens = f"{low * _CONTEXT_STEP:,} tokens"
    why = (
        f"All {tokens} that the model was trained for fit."
        if low == most
        else f"{tokens} of context fit beside the weights."
    )
    return Placement(options=found[0], estimate=found[1], kind=_kind_of(shape, found), why=why)


def _kind_of(shape: ModelShape, found: tuple[LoadOptions, MemoryEstimate]) -> PlacementKind:
    options, estimate = found
    if not estimate.n_gpu_layers:
        return "cpu"
    if estimate.n_gpu_layers < shape.n_units:
        return "partly"
    return "experts_in_ram" if options.n_cpu_moe and shape.has_experts else "all"


def _rank(placement: Placement) -> tuple[int, int, int]:
    """Return what makes one placement better than another: its kind, experts and layers on the cards."""
    kinds: tuple[PlacementKind, ...] = ("no", "cpu", "partly", "experts_in_ram", "all")
    return kinds.index(placement.kind), -placement.options.n_cpu_moe, placement.estimate.n_gpu_layers


def _why(shape: ModelShape, estimate: MemoryEstimate, kind: PlacementKind, options: LoadOptions) -> str:
    n_units, n_gpu_layers = shape.n_units, estimate.n_gpu_layers
    *others, final = [card.name for card in estimate.cards if card.total_bytes] or [""]
    names = f"{', '.join(others)} and {final}" if others else final
    match kind:
        case "all":
            return f"All {n_units} layers fit on {names}."
        case "experts_in_ram":
            return (
                f"With the experts of {options.n_cpu_moe} layers in RAM all {n_units} layers fit on {names}."
            )
        case "partly":
            return f"{n_gpu_layers} of {n_units} layers fit on {names}; {n_units - n_gpu_layers} stay in RAM."
        case "cpu":
            return "No layer fits on a GPU." if estimate.cards else "There is no GPU; the model runs in RAM."
        case "no":
            return _too_small(estimate)


def _too_small(estimate: MemoryEstimate) -> str:
    short = [device for device in estimate.devices if not device.fits]
    parts = [
        f"{device.name} would need {format_bytes(device.total_bytes)}, "
        f"{format_bytes(max((device.free_bytes or 0) - device.reserve_bytes, 0))} may be used"
        for device in short
    ]
    return "; ".join(parts) + "." if parts else "It does not fit."
