"""The best placement for given free memory, and the largest context for a given placement."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import pytest
from model_shapes import header_of

from kobold_tui.domain.fit import Placement, PlacementSearch, best_placement, largest_context, verdict
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device, ExtraFiles, MemoryEstimate, ModelShape, predict, shape_of

GIB = 1 << 30
MIB = 1 << 20
CONTEXT = LoadOptions(n_ctx=8192)


@functools.cache
def shape(model: str) -> ModelShape:
    return shape_of(header_of(model))


def cards(*sizes: float, **more: Any) -> tuple[Device, ...]:
    return tuple(
        Device(name=f"CUDA{index}", free_bytes=int(size * GIB), **more) for index, size in enumerate(sizes)
    )


def ram(size: float) -> Device:
    return Device(name="RAM", free_bytes=int(size * GIB), is_host=True, backend="CPU")


def with_one_layer_more(model: str, found: Placement, devices: tuple[Device, ...]) -> MemoryEstimate:
    options = msgspec.structs.replace(
        found.options, n_gpu_layers=found.estimate.n_gpu_layers + 1, tensor_split=()
    )
    return predict(shape(model), options, devices)


def measured(found: Placement, extra_bytes: int) -> MemoryEstimate:
    """Return the dry run of a placement whose first card takes more than was predicted."""
    host, first, *others = found.estimate.devices
    grown = msgspec.structs.replace(first, compute_bytes=first.compute_bytes + extra_bytes)
    return msgspec.structs.replace(found.estimate, devices=(host, grown, *others), exact=True)


def test_all_layers_go_to_a_card_that_has_room() -> None:
    found = best_placement(shape("llama-8b"), CONTEXT, cards(24))
    assert (found.kind, found.estimate.n_gpu_layers, found.options.n_cpu_moe) == ("all", 33, 0)
    assert found.why == "All 33 layers fit on CUDA0."


def test_one_card_is_enough_where_it_has_room() -> None:
    found = best_placement(shape("llama-8b"), CONTEXT, cards(24, 24))
    assert (found.options.devices, found.options.tensor_split) == (("CUDA0",), ())
    assert found.why == "All 33 layers fit on CUDA0."


def test_a_model_for_one_card_goes_to_the_fullest_that_holds_it() -> None:
    found = best_placement(shape("llama-8b"), CONTEXT, cards(80, 4, 12))
    assert found.options.devices == ("CUDA2",)
    assert found.why == "All 33 layers fit on CUDA2."


def test_a_card_that_is_almost_full_does_not_spoil_the_others() -> None:
    alone = best_placement(shape("llama-70b"), CONTEXT, cards(24))
    found = best_placement(shape("llama-70b"), CONTEXT, cards(0.2, 24))
    assert found.estimate.n_gpu_layers >= alone.estimate.n_gpu_layers > 0
    assert found.estimate.fits


def test_cards_that_somebody_chose_stay_chosen() -> None:
    chosen = msgspec.structs.replace(CONTEXT, devices=("CUDA0",))
    found = best_placement(shape("llama-8b"), chosen, cards(2, 24))
    assert (found.kind, found.options.devices) == ("partly", ("CUDA0",))


def test_several_cards_share_whole_layers() -> None:
    found = best_placement(shape("llama-70b"), CONTEXT, cards(24, 12, 12))
    assert found.kind == "all"
    assert sum(found.options.tensor_split) == 81
    assert all(share == int(share) for share in found.options.tensor_split)
    assert found.estimate.fits


def test_experts_go_to_ram_before_layers_do() -> None:
    found = best_placement(shape("qwen3moe-30b"), CONTEXT, (ram(64), *cards(12)))
    assert (found.kind, found.estimate.n_gpu_layers) == ("experts_in_ram", 49)
    fewer = msgspec.structs.replace(found.options, n_cpu_moe=found.options.n_cpu_moe - 1)
    assert found.estimate.fits
    assert not predict(shape("qwen3moe-30b"), fewer, cards(12)).fits


def test_as_many_layers_as_fit_go_to_a_small_card() -> None:
    found = best_placement(shape("llama-70b"), CONTEXT, cards(24))
    assert found.kind == "partly"
    assert found.estimate.fits
    assert not with_one_layer_more("llama-70b", found, cards(24)).fits


def test_unequal_cards_are_both_filled() -> None:
    found = best_placement(shape("llama-70b"), CONTEXT, cards(24, 8))
    layer_bytes = 500 * MIB
    assert found.kind == "partly"
    assert all((card.spare_bytes or 0) < 2 * layer_bytes for card in found.estimate.cards)


def test_a_split_that_is_given_stays() -> None:
    options = msgspec.structs.replace(CONTEXT, tensor_split=(1.0, 1.0))
    found = best_placement(shape("llama-70b"), options, cards(24, 12))
    assert found.options.tensor_split == (1.0, 1.0)
    assert found.kind == "partly"
    assert found.estimate.fits


def test_each_card_keeps_its_reserve_and_its_overhead() -> None:
    free = best_placement(shape("llama-70b"), CONTEXT, cards(24)).estimate.n_gpu_layers
    kept = best_placement(shape("llama-70b"), CONTEXT, cards(24, reserve_bytes=GIB, overhead_bytes=GIB))
    assert kept.estimate.n_gpu_layers <= free - 4
    assert kept.estimate.cards[0].overhead_bytes == GIB
    assert (kept.estimate.cards[0].spare_bytes or -1) >= 0


def test_without_a_card_the_model_runs_in_ram() -> None:
    found = best_placement(shape("llama-8b"), CONTEXT, (ram(32),))
    assert (found.kind, found.estimate.n_gpu_layers) == ("cpu", 0)
    assert found.why == "There is no GPU; the model runs in RAM."


def test_a_card_without_room_for_the_smallest_part_is_left_alone() -> None:
    found = best_placement(shape("llama-70b"), CONTEXT, (ram(64), *cards(0.2)))
    assert found.kind in {"cpu", "no"}
    assert found.estimate.n_gpu_layers == 0


def test_what_fits_nowhere_says_what_is_missing() -> None:
    found = best_placement(shape("llama-405b"), CONTEXT, (ram(16), *cards(24)))
    assert found.kind == "no"
    assert "RAM would need" in found.why
    assert "16.0 GiB" in found.why


def test_ram_has_a_limit_too() -> None:
    tight, ample = (ram(12), *cards(24)), (ram(64), *cards(24))
    assert best_placement(shape("llama-70b"), CONTEXT, ample).kind == "partly"
    assert best_placement(shape("llama-70b"), CONTEXT, tight).kind == "no"


def test_files_beside_the_model_take_their_room() -> None:
    files = ExtraFiles(projector_bytes=4 * GIB)
    alone = best_placement(shape("llama-70b"), CONTEXT, cards(24))
    beside = best_placement(shape("llama-70b"), CONTEXT, cards(24), files=files)
    assert beside.estimate.n_gpu_layers < alone.estimate.n_gpu_layers - 5


def test_a_rejected_placement_is_followed_by_a_smaller_one_that_counts_what_was_seen() -> None:
    search = PlacementSearch(shape("llama-70b"), CONTEXT, cards(24))
    first = search.first()
    smaller = search.reject(first, measured(first, 2 * GIB))
    assert smaller.estimate.n_gpu_layers <= first.estimate.n_gpu_layers - 3
    assert smaller.estimate.cards[0].compute_bytes >= 2 * GIB


def test_a_rejection_without_a_reason_still_leads_to_something_smaller() -> None:
    search = PlacementSearch(shape("llama-70b"), CONTEXT, cards(24))
    first = candidate = search.first()
    for _ in range(8):
        candidate = search.reject(candidate, measured(candidate, 0))
    assert candidate.estimate.n_gpu_layers < first.estimate.n_gpu_layers


def test_rejections_end_in_ram() -> None:
    search = PlacementSearch(shape("llama-8b"), CONTEXT, (ram(64), *cards(24)))
    candidate = search.first()
    for _ in range(20):
        candidate = search.reject(candidate, measured(candidate, 8 * GIB))
    assert candidate.kind == "cpu"


def test_room_that_a_dry_run_finds_is_used() -> None:
    search = PlacementSearch(shape("llama-70b"), CONTEXT, cards(24))
    first = search.first()
    better = search.improve(first, measured(first, -first.estimate.cards[0].compute_bytes))
    assert better is not None
    assert better.estimate.n_gpu_layers == first.estimate.n_gpu_layers + 1


def test_a_prediction_that_was_right_is_not_improved() -> None:
    search = PlacementSearch(shape("llama-70b"), CONTEXT, cards(24))
    first = search.first()
    assert search.improve(first, measured(first, 0)) is None


def test_a_model_in_ram_leaves_a_full_card_alone() -> None:
    found = best_placement(shape("llama-8b"), CONTEXT, (ram(64), *cards(0.1)))
    assert (found.kind, found.options.op_offload) == ("cpu", False)
    assert found.estimate.cards[0].total_bytes == 0


def test_nothing_is_better_than_all_layers() -> None:
    search = PlacementSearch(shape("llama-8b"), CONTEXT, cards(24))
    first = search.first()
    assert search.improve(first, measured(first, -MIB)) is None


def test_the_largest_context_leaves_no_room_for_another_step() -> None:
    options = LoadOptions(n_gpu_layers=33)
    found = largest_context(shape("llama-8b"), options, cards(12))
    assert found.kind == "all"
    assert found.estimate.fits
    larger = msgspec.structs.replace(found.options, n_ctx=int(found.options.n_ctx) + 256)
    assert not predict(shape("llama-8b"), larger, cards(12)).fits


def test_the_context_never_exceeds_what_the_model_is_trained_for() -> None:
    found = largest_context(shape("llama-8b"), LoadOptions(), cards(96))
    assert found.options.n_ctx == 131_072
    assert "All 131,072 tokens" in found.why


def test_weights_that_do_not_fit_leave_no_context_at_all() -> None:
    found = largest_context(shape("llama-70b"), LoadOptions(n_gpu_layers=81), cards(24))
    assert found.kind == "no"
    assert "CUDA0 would need" in found.why


@pytest.mark.parametrize(
    ("model", "free", "expected"),
    [
        ("llama-8b", 24, "gpu"),
        ("llama-70b", 24, "partly"),
        ("qwen3moe-30b", 12, "partly"),
        ("llama-8b", 0.1, "cpu"),
        ("minilm-l6", 1, "gpu"),
    ],
)
def test_a_verdict_in_a_word(model: str, free: float, expected: str) -> None:
    assert verdict(shape(model), CONTEXT, (ram(128), *cards(free))) == expected
