"""The best placement, confirmed by dry runs: predicted, tried, corrected, and tried again.

A proposal that a dry run finds too large is taken back a step; where one leaves room, the next larger is
tried as well. Without dry runs the prediction stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.fit import Placement, PlacementSearch, largest_context
from kobold_tui.domain.load_options import CPU_ONLY, LoadOptions
from kobold_tui.domain.memory import ComputeLevels, Device, MemoryEstimate
from kobold_tui.services.tuning_model import TuningModel

Confirm = Callable[[LoadOptions], Awaitable[MemoryEstimate]]

MOST_DRY_RUNS = 12
_CONTEXT_STEP = 256


async def confirmed_best(
    model: TuningModel,
    options: LoadOptions,
    devices: Sequence[Device],
    confirm: Confirm,
    levels: ComputeLevels | None = None,
) -> Placement:
    """Return the best placement; its estimate is exact where dry runs could be made."""
    search = PlacementSearch(model.shape, options, devices, levels=levels, files=model.files)
    candidate, best = search.first(), None
    for _ in range(MOST_DRY_RUNS):
        exact = await _tried(confirm, candidate.options)
        if exact is None:
            return best or without_cards(model, candidate, devices)
        if exact.fits:
            best = msgspec.structs.replace(candidate, estimate=exact)
            better = search.improve(candidate, exact)
            if better is None:
                return best
            candidate = better
            continue
        if best is not None:
            return best
        following = search.reject(candidate, exact)
        if following.options == candidate.options:
            failed = msgspec.structs.replace(following, estimate=exact)
            return without_cards(model, failed, devices)
        candidate = following
    return best or without_cards(model, candidate, devices)


def without_cards(model: TuningModel, found: Placement, devices: Sequence[Device]) -> Placement:
    """Return `found`, or a placement that leaves every card alone where that alone fits.

    Even without a layer on it, llama.cpp computes long prompts on a card, which takes room.
    """
    if found.estimate.fits or found.estimate.n_gpu_layers or found.options.is_cpu_only:
        return found
    options = msgspec.structs.replace(found.options, devices=CPU_ONLY, tensor_split=())
    estimate = model.estimate(options, devices)
    if not estimate.fits:
        return msgspec.structs.replace(found, kind="no")
    why = "The cards have no room, not even for long prompts alone; the model runs in RAM."
    return Placement(options=options, estimate=estimate, kind="cpu", why=why)


async def confirmed_context(
    model: TuningModel,
    options: LoadOptions,
    devices: Sequence[Device],
    confirm: Confirm,
    levels: ComputeLevels | None = None,
) -> Placement:
    """Return the same placement with the largest context that fits, made smaller where a dry run says so."""
    found = largest_context(model.shape, options, devices, levels=levels, files=model.files)
    for _ in range(MOST_DRY_RUNS):
        exact = await _tried(confirm, found.options) if found.kind != "no" else None
        if exact is None:
            return found
        found = msgspec.structs.replace(found, estimate=exact)
        if exact.fits:
            return found
        n_ctx = _smaller(exact, found.options)
        if not n_ctx:
            break
        changed = msgspec.structs.replace(found.options, n_ctx=n_ctx)
        why = f"{n_ctx:,} tokens of context fit beside the weights."
        found = msgspec.structs.replace(
            found, options=changed, estimate=model.estimate(changed, devices, levels), why=why
        )
    return msgspec.structs.replace(found, kind="no", why="No context fits beside the weights.")


def _smaller(exact: MemoryEstimate, options: LoadOptions) -> int:
    """Return a context that is shorter by what a dry run was over, by the cache of a token; 0 is none."""
    n_ctx = options.n_ctx if isinstance(options.n_ctx, int) else 0
    over = max(-(row.spare_bytes or 0) for row in exact.devices)
    of_token = max(sum(row.kv_bytes for row in exact.devices) // max(n_ctx, 1), 1)
    return max(n_ctx - (over // (of_token * _CONTEXT_STEP) + 1) * _CONTEXT_STEP, 0)


async def _tried(confirm: Confirm, options: LoadOptions) -> MemoryEstimate | None:
    """Return a dry run's figures, None where there can be none."""
    try:
        return await confirm(options)
    except EngineError:
        return None
