"""What holds for every header and all options, however strange."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from model_shapes import SHAPES, header_of

from kobold_tui.domain.fit import best_placement, largest_context
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Calibration, Device, MemoryEstimate, ModelShape, predict, shape_of
from kobold_tui.domain.model import ArrayRef, Header, TensorInfo

GIB = 1 << 30
MODELS = sorted(SHAPES)

some_settings = settings(max_examples=60, deadline=None, derandomize=True)
numbers = st.one_of(st.integers(-(2**63), 2**64), st.floats(), st.booleans(), st.text(max_size=4), st.none())
values = st.one_of(
    numbers,
    st.lists(numbers, max_size=6).map(tuple),
    st.just(ArrayRef(length=1 << 60, element_type=4, offset=0)),
)
cards = st.lists(st.integers(0, 200 * GIB), max_size=4).map(
    lambda sizes: [Device(name=f"CUDA{index}", free_bytes=size) for index, size in enumerate(sizes)]
)
options = st.builds(
    LoadOptions,
    n_gpu_layers=st.one_of(st.integers(0, 200), st.just("auto")),
    n_ctx=st.one_of(st.integers(256, 200_000), st.just("auto")),
    n_batch=st.integers(1, 4096),
    n_ubatch=st.integers(1, 4096),
    type_k=st.sampled_from(["f32", "f16", "q8_0", "q4_0"]),
    type_v=st.sampled_from(["f16", "bf16", "q5_1", "iq4_nl"]),
    flash_attn=st.sampled_from([True, False, "auto"]),
    n_seq_max=st.integers(1, 256),
    kv_unified=st.booleans(),
    offload_kqv=st.booleans(),
    op_offload=st.booleans(),
    swa_full=st.booleans(),
    n_cpu_moe=st.integers(0, 200),
    split_mode=st.sampled_from(["none", "layer", "tensor"]),
    main_gpu=st.integers(0, 127),
    tensor_split=st.lists(st.floats(0, allow_nan=False), max_size=5).map(tuple),
    override_tensors=st.lists(st.text("ab.*+()[]=CPUD0", max_size=20), max_size=3).map(tuple),
)


@functools.cache
def header(model: str) -> Header:
    return header_of(model)


@functools.cache
def shape(model: str) -> ModelShape:
    return shape_of(header(model))


def with_metadata(model: str, changes: dict[str, Any]) -> Header:
    metadata = {
        key: value for key, value in {**header(model).metadata, **changes}.items() if value is not None
    }
    return msgspec.structs.replace(header(model), metadata=metadata)


@some_settings
@given(st.sampled_from(MODELS), st.data(), options, cards)
def test_no_metadata_makes_a_prediction_fail(
    model: str, data: st.DataObject, chosen: LoadOptions, devices: list[Device]
) -> None:
    keys = st.sampled_from(sorted(header(model).metadata))
    changes = data.draw(st.dictionaries(keys, values, min_size=1, max_size=5))
    strange = shape_of(with_metadata(model, changes))
    found = predict(strange, chosen, devices)
    assert all(device.total_bytes >= 0 for device in found.devices)
    assert strange.supported or strange.unsupported_reason


@some_settings
@given(st.sampled_from(MODELS), st.data())
def test_a_header_without_any_one_field_is_still_predicted(model: str, data: st.DataObject) -> None:
    missing = data.draw(st.sampled_from(sorted(header(model).metadata)))
    shortened = {key: value for key, value in header(model).metadata.items() if key != missing}
    found = predict(
        shape_of(msgspec.structs.replace(header(model), metadata=shortened)),
        LoadOptions(),
        [Device(name="CUDA0", free_bytes=80 * GIB)],
    )
    assert found.total_bytes > 0


def test_an_empty_header_has_nothing_to_place() -> None:
    empty = msgspec.structs.replace(header("llama-8b"), metadata={}, tensors=())
    found = predict(shape_of(empty), LoadOptions(), [Device(name="CUDA0", free_bytes=GIB)])
    assert not found.is_supported
    assert found.cards[0].total_bytes == 0


@some_settings
@given(
    st.lists(
        st.builds(
            TensorInfo,
            name=st.text("blk.0129token_embdoutput.weight_exps", max_size=30),
            dimensions=st.lists(st.integers(-5, 2**62), max_size=4).map(tuple),
            type_id=st.integers(-1, 99),
            type_name=st.sampled_from(["f32", "q4_K", "unknown"]),
            offset=st.just(0),
            n_bytes=st.integers(-(2**63), 2**63),
        ),
        max_size=20,
    )
)
def test_no_table_of_tensors_makes_a_prediction_fail(tensors: list[TensorInfo]) -> None:
    strange = msgspec.structs.replace(header("llama-8b"), tensors=tuple(tensors))
    found = predict(shape_of(strange), LoadOptions(), [Device(name="CUDA0", free_bytes=GIB)])
    assert all(device.weights_bytes >= 0 for device in found.devices)


@some_settings
@given(st.sampled_from(MODELS), options, cards)
def test_nothing_is_lost_or_counted_twice(model: str, chosen: LoadOptions, devices: list[Device]) -> None:
    chosen = msgspec.structs.replace(chosen, override_tensors=())
    found = predict(shape(model), chosen, devices)
    alone = predict(shape(model), chosen, [])
    weights = sum(device.weights_bytes for device in found.devices)
    least = alone.host.weights_bytes
    n_tensors = len(header(model).tensors)
    copies = sum(t.n_bytes for t in header(model).tensors if t.name.startswith(("token_embd", "rope_")))
    assert least <= weights <= least + (1 + len(devices)) * copies + 1024 * n_tensors
    caches = sum(device.kv_bytes for device in found.devices)
    assert alone.host.kv_bytes <= caches <= alone.host.kv_bytes + 1024 * n_tensors


@some_settings
@given(st.sampled_from(MODELS), options, cards.filter(bool), st.data())
def test_more_layers_on_the_cards_never_take_less_weights_and_cache_there(
    model: str, chosen: LoadOptions, devices: list[Device], data: st.DataObject
) -> None:
    fewer = data.draw(st.integers(0, shape(model).n_layer))

    def on_cards(n_gpu_layers: int) -> int:
        placed = msgspec.structs.replace(chosen, n_gpu_layers=n_gpu_layers, override_tensors=())
        found = predict(shape(model), placed, devices).cards
        return sum(card.weights_bytes + card.kv_bytes for card in found)

    assert on_cards(fewer) <= on_cards(fewer + 1)


def total_on_card(model: str, n_gpu_layers: int) -> int:
    placed = LoadOptions(n_ctx=8192, n_gpu_layers=n_gpu_layers)
    return predict(shape(model), placed, [Device(name="CUDA0", free_bytes=80 * GIB)]).cards[0].total_bytes


TAKE_LESS_IN_THE_END = {"qwen3-0.6b"}
"""So small that copying a layer from RAM takes more of the card than keeping the last one there."""


def test_more_layers_never_take_less_of_a_card_in_total_but_for_named_exceptions() -> None:
    exceptions = set()
    for model in MODELS:
        sizes = [total_on_card(model, n) for n in range(1, shape(model).n_units + 1)]
        if any(more < fewer for fewer, more in pairwise(sizes)):
            exceptions.add(model)
    assert exceptions == TAKE_LESS_IN_THE_END


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.sampled_from(MODELS), options, cards)
def test_a_placement_that_is_said_to_fit_does(model: str, chosen: LoadOptions, devices: list[Device]) -> None:
    chosen = msgspec.structs.replace(chosen, override_tensors=())
    found = best_placement(shape(model), chosen, devices)
    assert found.estimate.fits == (found.kind != "no")
    assert found.why
    context = largest_context(shape(model), found.options, devices)
    assert context.estimate.fits == (context.kind != "no")


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.sampled_from(["llama-8b", "gemma3-4b", "minilm-l6", "deepseek-v2-lite"]), options, cards)
def test_a_calibration_ends_and_its_levels_answer(
    model: str, chosen: LoadOptions, devices: list[Device]
) -> None:
    calibration = Calibration(shape(model), chosen, devices)
    asked = 0
    while (probe := calibration.next_probe()) is not None:
        asked += 1
        answer: MemoryEstimate = predict(shape(model), probe.options, probe.cards)
        calibration.add(probe, answer)
    assert asked <= 6
    assert predict(shape(model), chosen, devices, levels=calibration.levels).total_bytes > 0
