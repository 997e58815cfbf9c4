"""Each option moves the memory that it is about, and what is not known is said."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import pytest
from model_shapes import header_of

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device, ExtraFiles, MemoryEstimate, ModelShape, predict, shape_of
from kobold_tui.domain.model import Header

GIB = 1 << 30
MIB = 1 << 20
ONE_CARD = (Device(name="CUDA0", free_bytes=24 * GIB),)
TWO_CARDS = (*ONE_CARD, Device(name="CUDA1", free_bytes=24 * GIB))


@functools.cache
def shape(model: str) -> ModelShape:
    return shape_of(header_of(model))


def estimate(model: str = "llama-8b", cards: tuple[Device, ...] = ONE_CARD, **options: Any) -> MemoryEstimate:
    return predict(shape(model), LoadOptions(**options), cards)


def changed(header: Header, **metadata: Any) -> Header:
    return msgspec.structs.replace(header, metadata={**header.metadata, **metadata})


def test_ram_comes_first_and_then_each_card() -> None:
    assert [device.name for device in estimate(cards=TWO_CARDS).devices] == ["RAM", "CUDA0", "CUDA1"]
    assert [device.is_host for device in estimate(cards=TWO_CARDS).devices] == [True, False, False]


def test_the_host_keeps_its_free_memory_and_its_reserve() -> None:
    host = Device(name="this machine", free_bytes=8 * GIB, is_host=True, reserve_bytes=GIB)
    row = estimate(cards=(host, *ONE_CARD)).host
    assert (row.name, row.free_bytes, row.reserve_bytes) == ("RAM", 8 * GIB, GIB)


def test_auto_is_all_layers_where_there_is_a_card_and_none_where_there_is_not() -> None:
    assert estimate().n_gpu_layers == shape("llama-8b").n_units
    assert estimate(cards=()).n_gpu_layers == 0


def test_more_layers_than_there_are_count_as_all() -> None:
    assert estimate(n_gpu_layers=1000) == estimate(n_gpu_layers=33)


def test_the_output_is_the_first_to_go_to_the_card() -> None:
    one, none = estimate(n_gpu_layers=1), estimate(n_gpu_layers=0)
    output = [tensor for tensor in header_of("llama-8b").tensors if tensor.name.startswith("output")]
    assert one.cards[0].weights_bytes == sum(tensor.n_bytes for tensor in output)
    assert one.cards[0].kv_bytes == none.cards[0].kv_bytes == 0


def test_a_tied_output_is_a_second_copy_of_the_embedding() -> None:
    none, one = estimate("llama-1b", n_gpu_layers=0), estimate("llama-1b", n_gpu_layers=1)
    assert one.host.weights_bytes == none.host.weights_bytes - 8192  # the output's norm
    assert one.cards[0].weights_bytes > 200 * MIB


def test_shares_that_are_layers_give_exactly_these_layers() -> None:
    found = estimate(cards=TWO_CARDS, n_gpu_layers=33, tensor_split=(20, 13))
    alone = estimate(cards=TWO_CARDS, n_gpu_layers=33, tensor_split=(33, 0))
    assert found.cards[0].kv_bytes * 32 == alone.cards[0].kv_bytes * 20
    assert found.cards[1].kv_bytes * 32 == alone.cards[0].kv_bytes * 12


@pytest.mark.parametrize(
    ("split", "layers"), [((11.7, 12.6), (39, 41)), ((28.0, 14.4, 10.5, 22.7), (30, 16, 11, 23))]
)
def test_shares_are_cut_in_32_bit_floats(split: tuple[float, ...], layers: tuple[int, ...]) -> None:
    cards = tuple(Device(name=f"CUDA{index}", free_bytes=80 * GIB) for index in range(len(split)))
    found = estimate("llama-70b", cards, n_gpu_layers=81, tensor_split=split)
    layer_bytes = found.cards[0].kv_bytes // layers[0]
    assert tuple(card.kv_bytes // layer_bytes for card in found.cards) == layers


def test_flash_attention_that_no_card_has_leaves_the_cache_as_it_was_laid_out() -> None:
    sizes = {"llama.attention.key_length": 48, "llama.attention.value_length": 48}
    heads = tuple(8 if block % 2 else 4 for block in range(32))
    model = shape_of(changed(header_of("llama-8b"), **sizes, **{"llama.attention.head_count_kv": heads}))
    asked = predict(model, LoadOptions(n_ctx=4096), ONE_CARD).cards[0]
    refused = predict(model, LoadOptions(n_ctx=4096, flash_attn=False), ONE_CARD).cards[0]
    assert asked.kv_bytes == 4096 * 2 * 2 * 48 * sum(heads)
    assert refused.kv_bytes == 4096 * 2 * 48 * (sum(heads) + 32 * 8)  # every V row as wide as the widest
    assert asked.compute_bytes == refused.compute_bytes


def test_split_mode_none_uses_the_main_gpu_alone() -> None:
    found = estimate(cards=TWO_CARDS, split_mode="none", main_gpu=1)
    assert found.cards[0].total_bytes == 0
    assert found.cards[1].weights_bytes == estimate().cards[0].weights_bytes


def test_named_devices_are_filled_in_their_order() -> None:
    found = estimate(cards=TWO_CARDS, devices=("CUDA1",))
    assert found.cards[0].total_bytes == 0
    assert found.cards[1].weights_bytes == estimate().cards[0].weights_bytes


def test_a_quantised_cache_takes_its_share_of_f16() -> None:
    plain = estimate().cards[0].kv_bytes
    small = estimate(type_k="q8_0", type_v="q8_0").cards[0].kv_bytes
    assert small * 64 == plain * 34


def test_the_cache_can_stay_in_ram() -> None:
    found = estimate(offload_kqv=False)
    assert (found.host.kv_bytes, found.cards[0].kv_bytes) == (estimate().cards[0].kv_bytes, 0)


def test_slots_of_their_own_round_the_context_up() -> None:
    shared = estimate(n_ctx=1000, n_seq_max=4).cards[0].kv_bytes
    apart = estimate(n_ctx=1000, n_seq_max=4, kv_unified=False).cards[0].kv_bytes
    assert apart == shared  # 1024 tokens, four times 256
    assert estimate(n_ctx=1030, n_seq_max=4, kv_unified=False).cards[0].kv_bytes == 2 * apart


def test_sliding_layers_keep_a_window_unless_all_is_asked_for() -> None:
    window = estimate("gemma3-27b", n_ctx=32_768).cards[0].kv_bytes
    everything = estimate("gemma3-27b", n_ctx=32_768, swa_full=True).cards[0].kv_bytes
    assert window < everything / 3
    assert everything == 62 * 32_768 * (16 * 128 * 2) * 2


def test_a_compressed_cache_is_one_row_for_keys_and_values() -> None:
    assert estimate("deepseek-v3", n_ctx=4096).cards[0].kv_bytes == 61 * 4096 * 576 * 2


def test_state_is_kept_once_for_each_slot() -> None:
    one = estimate("mamba2-2.7b", n_seq_max=1).cards[0].kv_bytes
    four = estimate("mamba2-2.7b", n_seq_max=4).cards[0].kv_bytes
    assert four == 4 * one
    assert estimate("mamba2-2.7b", n_seq_max=4, n_ctx=32_768).cards[0].kv_bytes == four


def test_encoders_keep_no_cache() -> None:
    for model in ("minilm-l6", "bge-large", "nomic-embed", "modern-bert-base", "embedding-gemma"):
        found = estimate(model)
        assert sum(device.kv_bytes for device in found.devices) == 0
        assert found.is_supported


def test_experts_in_ram_leave_the_card_to_the_rest() -> None:
    everything = estimate("qwen3moe-30b")
    some = estimate("qwen3moe-30b", n_cpu_moe=10)
    experts = [
        tensor
        for tensor in header_of("qwen3moe-30b").tensors
        if "_exps" in tensor.name and int(tensor.name.split(".")[1]) < 10
    ]
    gained = some.host.weights_bytes - everything.host.weights_bytes
    assert gained == sum(tensor.n_bytes for tensor in experts)
    saved = everything.cards[0].weights_bytes - some.cards[0].weights_bytes
    assert 0 <= saved - gained <= 512 * len(experts)  # rows of 768 weights are padded on a card


def test_the_first_override_that_matches_wins() -> None:
    both = ("ffn_up=CPU", "ffn_=CUDA0")
    found = estimate(override_tensors=both)
    assert found.host.weights_bytes > estimate().host.weights_bytes
    assert estimate(override_tensors=both[::-1]).host.weights_bytes == estimate().host.weights_bytes


@pytest.mark.parametrize("text", ["(a+)+$=CPU", "[=CPU", "no pair", "ffn=CUDA7", "a*b*c*d*e=CPU"])
def test_an_override_that_cannot_be_followed_is_named(text: str) -> None:
    found = estimate(override_tensors=(text,))
    assert any(repr(text) in note for note in found.notes)
    assert found.host.weights_bytes == estimate().host.weights_bytes


def test_overhead_counts_only_where_something_is_loaded() -> None:
    cards = tuple(msgspec.structs.replace(card, overhead_bytes=300 * MIB) for card in TWO_CARDS)
    found = estimate(cards=cards, split_mode="none")
    assert [card.overhead_bytes for card in found.cards] == [300 * MIB, 0]


def test_a_reserve_is_kept_free() -> None:
    need = estimate().cards[0].total_bytes
    tight = Device(name="CUDA0", free_bytes=need)
    assert estimate(cards=(tight,)).fits
    assert not estimate(cards=(msgspec.structs.replace(tight, reserve_bytes=1),)).fits


def test_a_projector_goes_to_the_first_card_or_stays_in_ram() -> None:
    files = ExtraFiles(projector_bytes=800 * MIB)
    on_card = predict(shape("llama-8b"), LoadOptions(), TWO_CARDS, files=files)
    in_ram = predict(shape("llama-8b"), LoadOptions(mmproj_offload=False), TWO_CARDS, files=files)
    assert [device.projector_bytes for device in on_card.devices] == [0, 800 * MIB, 0]
    assert [device.projector_bytes for device in in_ram.devices] == [800 * MIB, 0, 0]
    assert any("Projector" in note for note in on_card.notes)


def test_adapters_lie_where_the_layers_lie() -> None:
    files = ExtraFiles(adapters_bytes=320 * MIB)
    found = predict(shape("llama-8b"), LoadOptions(n_gpu_layers=17), ONE_CARD, files=files)
    assert [device.adapters_bytes for device in found.devices] == [160 * MIB, 160 * MIB]


def test_rows_of_logits_count_as_overhead_of_ram() -> None:
    few, many = estimate(n_outputs_max=8), estimate(n_outputs_max=512)
    assert many.host.overhead_bytes - few.host.overhead_bytes == 504 * 128_256 * 4


def test_a_chat_model_that_makes_vectors_has_their_context() -> None:
    options = LoadOptions(n_ubatch=512)
    found = predict(shape("qwen3-0.6b"), options, ONE_CARD, embedding=True)
    assert found.cards[0].compute_bytes > estimate("qwen3-0.6b").cards[0].compute_bytes


def test_an_architecture_that_is_not_known_says_that_only_a_dry_run_tells() -> None:
    header = changed(header_of("llama-8b"), **{"general.architecture": "brandnew"})
    model = shape_of(header)
    assert not model.supported
    assert "brandnew" in model.unsupported_reason
    found = predict(model, LoadOptions(), ONE_CARD)
    assert not found.is_supported
    assert any("dry run" in note for note in found.notes)


def test_a_cache_of_its_own_kind_is_not_guessed() -> None:
    header = changed(header_of("deepseek-v3"), **{"general.architecture": "deepseek32"})
    assert not shape_of(header).supported


def test_blocks_that_guess_ahead_are_not_loaded() -> None:
    header = changed(header_of("llama-8b"), **{"llama.nextn_predict_layers": 2})
    without = predict(shape_of(header), LoadOptions(), ONE_CARD).cards[0]
    assert without.kv_bytes * 32 == estimate().cards[0].kv_bytes * 30
    assert without.weights_bytes < estimate().cards[0].weights_bytes
