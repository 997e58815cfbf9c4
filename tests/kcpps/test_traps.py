"""Values that mean something else than they seem to, or did so in other years."""

from __future__ import annotations

from typing import Any

import pytest
from kcpps_talk import fate, imported, meaning, rows

from kobold_tui.domain.load_options import LoraAdapter


@pytest.mark.parametrize(("layers", "expected"), [(-1, "auto"), (0, 0), (1, 1), (33, 33), (999, 999)])
def test_minus_one_layers_are_auto_and_zero_is_none(layers: int, expected: int | str) -> None:
    assert meaning(gpulayers=layers).load.n_gpu_layers == expected


def test_layers_below_minus_one_are_refused() -> None:
    assert fate("gpulayers", -2).status == "refused"
    assert meaning(gpulayers=-2).load.n_gpu_layers == "auto"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"noflashattention": False, "flashattention": False}, True),
        ({"noflashattention": True, "flashattention": True}, False),
        ({"flashattention": False}, False),
        ({"flashattention": True}, True),
        ({}, True),
    ],
)
def test_flash_attention_is_on_unless_told_so(values: dict[str, Any], expected: bool) -> None:
    assert meaning(**values).load.flash_attn is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"noswa": True, "useswa": True}, True),
        ({"noswa": False, "useswa": False}, False),
        ({"useswa": False}, True),
        ({"useswa": True}, False),
        ({}, False),
    ],
)
def test_the_window_cache_is_small_unless_told_so(values: dict[str, Any], expected: bool) -> None:
    assert meaning(**values).load.swa_full is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"usemmap": True, "nommap": True}, True),
        ({"usemmap": False, "nommap": False}, False),
        ({"nommap": False}, True),
        ({"nommap": True}, False),
        ({}, False),
    ],
)
def test_mapping_is_off_except_in_files_of_former_days(values: dict[str, Any], expected: bool) -> None:
    assert meaning(**values).load.use_mmap is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "f16"), (1, "q8_0"), (2, "q4_0"), (3, "bf16"), ("1", "q8_0"), ("q5_1", "q5_1"), ("Q8_0", "q8_0")],
)
def test_the_cache_type_is_read_in_all_its_spellings(value: Any, expected: str) -> None:
    load = meaning(quantkv=value, noflashattention=False).load
    assert (load.type_k, load.type_v) == (expected, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("q8_0", ("q8_0", "f16")), ("bf16", ("bf16", "bf16")), ("f16", ("f16", "f16"))],
)
def test_without_flash_attention_only_the_keys_are_quantised(value: str, expected: tuple[str, str]) -> None:
    load = meaning(quantkv=value, noflashattention=True).load
    assert (load.type_k, load.type_v) == expected


@pytest.mark.parametrize("value", [4, "q6_K", True, [1], 1.5])
def test_an_unknown_cache_type_is_refused(value: Any) -> None:
    assert fate("quantkv", value).status == "refused"


@pytest.mark.parametrize(
    ("port", "positional", "effective"), [(5002, 5001, 5002), (5001, 7000, 7000), (5002, 7000, 7000)]
)
def test_the_positional_port_wins_unless_it_is_the_usual_one(
    port: int, positional: int, effective: int
) -> None:
    row = fate("port", port, port_param=positional)
    assert (row.status, f"{effective} is the port" in row.note) == ("ignored", True)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        (None, ("layer", 0)),
        ([], ("layer", 0)),
        (["all", "mmq"], ("layer", 0)),
        (["2", "normal"], ("none", 2)),
        ("1", ("none", 1)),
    ],
)
def test_a_card_that_is_named_is_the_only_one(cards: Any, expected: tuple[str, int]) -> None:
    load = meaning(usecuda=cards).load
    assert (load.split_mode, load.main_gpu) == expected


def test_the_former_spelling_of_the_cards_counts_where_the_new_one_is_missing() -> None:
    assert meaning(usecublas=["3"]).load.main_gpu == 3
    assert meaning(usecublas=["3"], usecuda=[]).load.split_mode == "layer"
    assert meaning(usevulkan=[1]).load.main_gpu == 1


def test_a_card_beside_shares_is_the_main_one() -> None:
    load = meaning(usecuda=["1"], tensor_split=[3, 1]).load
    assert (load.split_mode, load.main_gpu, load.tensor_split) == ("layer", 1, (3.0, 1.0))
    assert meaning(usecuda=["1"], tensor_split=[3, 1], maingpu=0).load.main_gpu == 0


def test_an_empty_list_of_cards_still_asks_for_cards() -> None:
    assert meaning(usecuda=[], usecpu=True, gpulayers=20).load.n_gpu_layers == 20
    assert meaning(usecuda=None, usecpu=True, gpulayers=20).load.n_gpu_layers == 0
    assert meaning(noblas=True, gpulayers=20).load.n_gpu_layers == 0
    assert meaning(usecpu=True, device="CUDA0").load.is_cpu_only
    assert not meaning(usecpu=False, gpulayers=0).load.is_cpu_only


def test_low_vram_is_said_in_two_ways() -> None:
    assert not meaning(lowvram=True).load.offload_kqv
    assert not meaning(usecuda=["all", "lowvram"], lowvram=False).load.offload_kqv


def test_autofit_overrules_what_else_is_said_of_placement() -> None:
    found = imported(
        {
            "autofit": True,
            "autofitpadding": 2048,
            "gpulayers": 20,
            "moecpu": 4,
            "tensor_split": [1, 1],
            "overridetensors": "a=CPU",
        }
    )
    load = found.preset.load
    placed = (load.n_gpu_layers, load.n_cpu_moe, load.tensor_split, load.override_tensors)
    assert placed == ("auto", 0, (), ())
    assert found.preset.memory.reserve_bytes == 2048 * 1024**2
    assert {rows(found)[key].status for key in ("gpulayers", "moecpu", "tensor_split")} == {"ignored"}
    assert meaning(autofitpadding=2048, gpulayers=-1).memory.reserve_bytes == 512 * 1024**2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"batchsize": 512}, (512, 1024)),
        ({"batchsize": 2048, "nopipelineparallel": True}, (2048, 2048)),
        ({"batchsize": -1}, (1, 1)),
        ({"blasbatchsize": 256}, (256, 512)),
        ({"blasbatchsize": 256, "batchsize": 128}, (128, 256)),
        ({}, (512, 1024)),
    ],
)
def test_a_batch_is_computed_twice_unless_told_so(values: dict[str, Any], expected: tuple[int, int]) -> None:
    load = meaning(**values).load
    assert (load.n_ubatch, load.n_batch) == expected


def test_zero_and_false_are_values_and_null_is_none() -> None:
    assert meaning(defaultgenamt=None, contextsize=None).chat.max_tokens == 1536
    assert meaning(threads=0, blasthreads=None).load.n_threads == "auto"
    assert meaning(usemlock=False).load.use_mlock is False
    assert meaning(gendefaults={"temperature": 0, "top_k": 0}).sampling.temperature == 0
    assert meaning(gendefaults={"temperature": 0, "top_k": 0}).sampling.top_k == 0


def test_types_that_changed_over_the_years_are_all_read() -> None:
    assert meaning(model="a.gguf").model == "a.gguf"
    assert meaning(model=["a.gguf", "b.gguf"]).model == "a.gguf"
    assert meaning(model=["a.gguf"], model_param="b.gguf").model == "b.gguf"
    assert meaning(model=None, model_param=None).model == ""
    assert meaning(gendefaults='{"temperature": 0.5}').sampling.temperature == 0.5
    assert meaning(sdgendefaults={"top_k": 7}).sampling.top_k == 7
    assert meaning(lora=["a.gguf", "base.bin"], loramult=0.5).load.lora == (
        LoraAdapter(path="a.gguf", scale=0.5),
    )
    assert fate("multiuser", True).status == "ignored"
    assert fate("smartcache", True).status == "unsupported"


def test_a_file_may_say_nothing_at_all() -> None:
    found = imported({})
    load = found.preset.load
    assert (load.n_ctx, load.n_batch, load.use_mmap, load.flash_attn) == (12288, 1024, False, True)
    assert {row.key for row in found.report} == {
        "contextsize",
        "batchsize",
        "usemmap",
        "noflashattention",
        "defaultgenamt",
    }
    assert all(row.value is None and row.note for row in found.report)


def test_another_configuration_in_place_of_a_model_is_refused() -> None:
    assert fate("model_param", "other.kcpps").status == "refused"
    assert meaning(model_param="other.kcpps").model == ""
