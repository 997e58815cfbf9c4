"""A plan for one load: options as given, the best placement, or the largest context; predicted or exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from kobold_tui.domain.fit import Placement, PlacementKind, best_placement, largest_context
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device, MemoryEstimate, ModelShape
from kobold_tui.services.tuning import TuningService
from kobold_tui.services.tuning_model import TuningModel, with_predicted
from kobold_tui.services.tuning_search import without_cards

Wish = Literal["given", "best", "largest"]
"""What is open: nothing, the placement, or the context."""


def predicted_plan(
    model: TuningModel, options: LoadOptions, devices: Sequence[Device], wish: Wish
) -> Placement:
    """Return the plan by prediction alone."""
    match wish:
        case "best":
            found = best_placement(model.shape, options, devices, files=model.files)
            return without_cards(model, found, devices)
        case "largest":
            return largest_context(model.shape, options, devices, files=model.files)
        case "given":
            return placed(model.shape, options, model.estimate(options, devices))


async def exact_plan(  # noqa: PLR0913 - what decides about the figures
    tuning: TuningService,
    model: TuningModel,
    options: LoadOptions,
    devices: Sequence[Device],
    wish: Wish,
    *,
    are_real: bool,
) -> Placement:
    """Return the plan by dry runs.

    The search is made on virtual cards, the figures are those of the real ones where these are meant. Raises
    EngineError where the model would not load so, or a dry run is not possible.
    """
    match wish:
        case "best":
            found = await tuning.best(model, options, devices)
        case "largest":
            found = await tuning.largest_context(model, options, devices)
        case "given":
            found = predicted_plan(model, options, devices, wish)
    if found.estimate.exact and not are_real:
        return found
    planned = None if are_real else devices
    exact = await tuning.confirm(model, found.options, planned, replaceable=False)
    exact = with_predicted(exact, model.estimate(found.options, devices))
    if wish == "given":
        return placed(model.shape, options, exact)
    kind: PlacementKind = found.kind if exact.fits else "no"
    return msgspec.structs.replace(found, estimate=exact, kind=kind)


def placed(shape: ModelShape, options: LoadOptions, estimate: MemoryEstimate) -> Placement:
    """Return options that nobody searched for, as a placement."""
    why = "It fits." if estimate.fits else "It does not fit."
    return Placement(options=options, estimate=estimate, kind=_kind(shape, options, estimate), why=why)


def _kind(shape: ModelShape, options: LoadOptions, estimate: MemoryEstimate) -> PlacementKind:
    if not estimate.fits:
        return "no"
    if not estimate.n_gpu_layers:
        return "cpu"
    if estimate.n_gpu_layers < shape.n_units:
        return "partly"
    return "experts_in_ram" if options.n_cpu_moe and shape.has_experts else "all"
