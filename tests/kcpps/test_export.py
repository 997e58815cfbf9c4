"""Exported presets are what KoboldCpp 1.117 accepts, and say when something gets lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kcpps_talk import FILES, key_rows
from strategies import PRESETS

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.load_options import LoadOptions, LoraAdapter
from kobold_tui.domain.preset import ChatOptions, MemoryOptions, Preset
from kobold_tui.domain.preset_file import differences
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.storage.kcpps.document import Document, parse_document
from kobold_tui.storage.kcpps.exporting import encode, export_preset
from kobold_tui.storage.kcpps.importing import import_document, import_file

KEYS = key_rows()
DEAD = {
    "blasbatchsize",
    "usecublas",
    "flashattention",
    "useswa",
    "nommap",
    "noblas",
    "sdgendefaults",
    "promptlimit",
}
CACHE_TYPES = {"f16", "bf16", "q8_0", "q5_1", "q4_0"}
SIZES = {-1, *(2**power for power in range(4, 13))}
RANGES: dict[str, tuple[float, float]] = {
    "contextsize": (256, 524_288),
    "defaultgenamt": (64, 32_768),
    "gpulayers": (-1, 100_000),
    "moecpu": (0, 200),
    "parallelrequests": (0, 32),
    "maingpu": (-1, 127),
    "autofitpadding": (0, 2**40),
    "embeddingsmaxctx": (0, 2**31),
}


_WORDS: dict[type, tuple[str, ...]] = {
    bool: ("bool",),
    int: ("int",),
    float: ("float",),
    str: ("str",),
    dict: ("dict",),
    list: ("list of",),
}


def has_type(value: Any, words: str) -> bool:
    """Whether a value is of a type that the table of keys names in words."""
    if value is None:
        return "null" in words
    if value == "" and "dict" in words:  # as KoboldCpp writes an empty object
        return True
    if isinstance(value, list) and not all(
        type(item) is (float if "float" in words else str) for item in value
    ):
        return False
    return words.startswith(_WORDS[type(value)])


def check_document(document: dict[str, Any]) -> None:
    """Fail where KoboldCpp 1.117 would not take a document, by the table of its keys."""
    for key, value in document.items():
        assert key in KEYS, key
        assert key not in DEAD, key
        assert has_type(value, KEYS[key]["type"]), (key, value, KEYS[key]["type"])
        if key in RANGES:
            low, high = RANGES[key]
            assert low <= value <= high, (key, value)
    assert document["quantkv"] in CACHE_TYPES
    assert document["batchsize"] in SIZES
    assert document["splitmode"] in {"layer", "row", "tensor"}
    assert document["usecuda"] is None or set(document["usecuda"]) <= {"0", "1", "2", "3"}
    assert len(document["tensor_split"] or []) <= 16
    assert len([pair for pair in document["overridekv"].split(",") if pair]) <= 16
    assert document["ropeconfig"][0] >= 0


def back_and_forth(preset: Preset) -> Preset:
    document = parse_document(encode(export_preset(preset).document), __file__)  # type: ignore[arg-type]
    return import_document(document, preset.name).preset


def check_round(preset: Preset) -> None:
    """Export a preset and fail where the file is not valid, or a second round changes anything."""
    exported = export_preset(preset)
    check_document(exported.document)
    json.loads(encode(exported.document), parse_constant=pytest.fail)
    once = back_and_forth(preset)
    assert back_and_forth(once) == once
    assert {row.key for row in exported.report} == {row.key for row in differences(preset, once)}


@given(PRESETS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_preset_becomes_a_valid_document_and_is_stable_after_one_round(preset: Preset) -> None:
    check_round(preset)


@pytest.mark.soak
@given(PRESETS)
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_five_thousand_presets_are_stable_after_one_round(preset: Preset) -> None:
    check_round(preset)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_was_imported_is_exported_without_loss(path: Any) -> None:
    preset = import_file(path).preset
    assert back_and_forth(preset) == preset
    assert export_preset(preset).report == ()


@pytest.mark.parametrize(
    "load",
    [
        LoadOptions(n_gpu_layers=0),
        LoadOptions(n_gpu_layers=0, devices=("CPU",)),
        LoadOptions(n_gpu_layers=12, split_mode="none", main_gpu=3),
        LoadOptions(tensor_split=(3.0, 1.0), main_gpu=1),
        LoadOptions(split_mode="tensor", tensor_split=(1.0, 1.0)),
        LoadOptions(n_batch=2048, n_ubatch=1024, n_threads=7, n_threads_batch=9),
        LoadOptions(n_batch=1, n_ubatch=1),
        LoadOptions(type_k="q8_0", type_v="q8_0", swa_full=True, use_mlock=True, offload_kqv=False),
        LoadOptions(flash_attn=False, type_k="q4_0"),
        LoadOptions(n_cpu_moe=7, override_tensors=("a=CPU", "b=CUDA0"), devices=("CUDA0", "CUDA1")),
        LoadOptions(override_kv={"a.b": True, "c": -3, "d": 0.25, "e": "text"}),
        LoadOptions(rope_freq_scale=0.5, rope_freq_base=20000.0),
        LoadOptions(lora=(LoraAdapter(path="a.gguf", scale=0.5),), mmproj="p.gguf", mmproj_offload=False),
        LoadOptions(n_seq_max=8),
    ],
)
def test_what_koboldcpp_can_say_comes_back_the_same(load: LoadOptions) -> None:
    import msgspec

    load = msgspec.structs.replace(load, n_ctx=4096, flash_attn=load.flash_attn is not False)
    preset = Preset(name="p", model="m.gguf", load=load)
    assert back_and_forth(preset) == preset


def test_chat_and_sampling_come_back_the_same() -> None:
    preset = Preset(
        name="p",
        model="m.gguf",
        load=LoadOptions(n_ctx=4096, flash_attn=True),
        chat=ChatOptions(template="chatml", max_tokens=10, stop=("a", "\n")),
        sampling=SamplingOptions(
            temperature=0.0, top_k=7, seed=3, logit_bias={5: -1.5}, dry_multiplier=0.5, grammar='root ::= "a"'
        ),
        memory=MemoryOptions(idle_unload_seconds=60.0, reserve_bytes=3 * 1024**3),
    )
    assert back_and_forth(preset) == preset


def test_an_embedding_preset_goes_into_koboldcpps_keys_for_it() -> None:
    preset = Preset(name="e", model="e.gguf", kind="embedding", load=LoadOptions(n_gpu_layers=0, n_ctx=2048))
    document = export_preset(preset).document
    assert (document["nomodel"], document["embeddingsmodel"], document["embeddingsgpu"]) == (
        True,
        "e.gguf",
        False,
    )
    again = back_and_forth(preset)
    assert (again.kind, again.model, again.load.n_ctx) == ("embedding", "e.gguf", 2048)


def test_what_gets_lost_is_told_with_the_reason() -> None:
    preset = Preset(
        name="p",
        model="m.gguf",
        description="mine",
        load=LoadOptions(type_k="q8_0", type_v="q5_1", n_draft=4),
        chat=ChatOptions(system_prompt="Be brief."),
    )
    report = {row.key: (row.status, row.note) for row in export_preset(preset).report}
    assert report["chat.system_prompt"][0] == "unsupported"
    assert report["load.n_draft"][0] == "unsupported"
    assert report["load.type_v"] == ("approximated", "It comes back as q8_0.")
    assert report["load.n_ctx"] == ("approximated", "It comes back as 8192.")
    assert report["description"][0] == "ignored"


@pytest.mark.parametrize(
    "preset", [Preset(name="r", model="r.gguf", kind="reranker"), Preset(name="e", endpoint="http://h/v1")]
)
def test_what_koboldcpp_cannot_run_is_not_exported(preset: Preset) -> None:
    with pytest.raises(KoboldError, match=preset.name):
        export_preset(preset)


@given(st.permutations(range(7)))
@settings(max_examples=30, deadline=None)
def test_an_order_of_samplers_is_kept(order: list[int]) -> None:
    found = import_document(Document(values={"gendefaults": {"sampler_order": list(order)}}), "o").preset
    ours = [
        number
        for number in export_preset(found).document["gendefaults"]["sampler_order"]
        if number not in {1, 3}
    ]
    assert ours == [number for number in order if number not in {1, 3}]
