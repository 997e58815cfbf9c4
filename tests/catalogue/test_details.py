"""The details of a model are what its header says and what follows from it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kobold_tui.catalogue.details import details_of
from kobold_tui.domain.model import ArrayRef, Header, TensorInfo
from kobold_tui.domain.model_details import ChatTemplate, KvCost, LongArray, ModelDetails


def tensor(name: str, *dimensions: int, type_name: str = "f32", n_bytes: int = 0) -> TensorInfo:
    info = TensorInfo(
        name=name, dimensions=dimensions, type_id=0, type_name=type_name, offset=0, n_bytes=n_bytes
    )
    return msgspec.structs.replace(info, n_bytes=n_bytes or 4 * info.n_elements)


TENSORS = (
    tensor("token_embd.weight", 64, 100),
    tensor("blk.0.attn_q.weight", 64, 64, type_name="q8_0", n_bytes=4352),
    tensor("blk.1.attn_q.weight", 64, 64),
    tensor("blk.1.ffn_up_exps.weight", 64, 32, 8, type_name="q8_0", n_bytes=17_408),
    tensor("output_norm.weight", 64),
)


def details(*tensors: TensorInfo, **metadata: Any) -> ModelDetails:
    usual: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
    }
    metadata = {**usual, **{key.replace("__", "."): value for key, value in metadata.items()}}
    header = Header(
        paths=("/models/m.gguf",),
        version=3,
        file_bytes=100_000,
        data_offset=2048,
        alignment=32,
        metadata=metadata,
        tensors=tensors or TENSORS,
    )
    return details_of(header)


def test_weights_are_counted_by_type_and_by_place() -> None:
    found = details()
    assert found.parameters == 6400 + 4096 + 4096 + 16_384 + 64
    assert found.tensor_bytes == 25_600 + 4352 + 16_384 + 17_408 + 256
    assert found.bits_per_weight == pytest.approx(8 * found.tensor_bytes / found.parameters)
    assert [(share.type_name, share.tensors, share.n_bytes) for share in found.types] == [
        ("f32", 3, 25_600 + 16_384 + 256),
        ("q8_0", 2, 4352 + 17_408),
    ]
    assert found.bytes_per_layer == (4352, 16_384 + 17_408)
    assert (found.input_bytes, found.output_bytes) == (25_600, 256)
    assert found.largest_tensor is not None
    assert found.largest_tensor.name == "token_embd.weight"


def test_an_output_of_its_own_is_told_from_a_tied_one() -> None:
    assert details().has_tied_output
    assert not details(*TENSORS, tensor("output.weight", 64, 100)).has_tied_output


def test_a_token_uses_a_part_of_the_experts() -> None:
    found = details(llama__expert_count=8, llama__expert_used_count=2)
    assert found.expert_share == pytest.approx(17_408 / found.tensor_bytes)
    assert found.active_parameters == found.parameters - 16_384 * 6 // 8
    assert details().active_parameters == details().parameters


def test_a_token_of_context_costs_its_rows_in_every_layer() -> None:
    plain, quantized = details(llama__attention__head_count_kv=2).kv_costs
    assert plain == KvCost(type_name="f16", bytes_per_token=2 * 2 * 32 * 2, bytes_per_old_token=256)
    assert quantized == KvCost(type_name="q8_0", bytes_per_token=2 * 2 * 34, bytes_per_old_token=136)


def test_beyond_the_window_only_full_layers_cost() -> None:
    found = details(
        general__architecture="gemma2",
        gemma2__block_count=4,
        gemma2__embedding_length=64,
        gemma2__attention__head_count=1,
        gemma2__attention__sliding_window=16,
    )
    (plain, _) = found.kv_costs
    assert (plain.bytes_per_token, plain.bytes_per_old_token) == (4 * 2 * 128, 2 * 2 * 128)
    assert (found.sliding_window, found.windowed_layers) == (16, 2)


def test_recurrent_layers_keep_a_state_in_place_of_a_cache() -> None:
    found = details(
        general__architecture="mamba",
        mamba__block_count=2,
        mamba__embedding_length=64,
        mamba__attention__head_count=0,
    )
    assert found.kv_costs == ()
    assert found.recurrent_layers == 2


def test_an_encoder_keeps_nothing() -> None:
    facts = {"bert.block_count": 2, "bert.embedding_length": 64, "bert.attention.head_count": 4}
    assert details(general__architecture="bert", **facts).kv_costs == ()


def test_metadata_is_grouped_by_subject_and_complete() -> None:
    found = details(
        general__license="apache-2.0",
        llama__rope__freq_base=1e6,
        llama__expert_count=4,
        llama__ssm__state_size=16,
        tokenizer__ggml__tokens=ArrayRef(length=50_000, element_type=8, offset=77),
        split__count=2,
        quantize__imatrix__file="x.dat",
    )
    sections = {section.title: section.values for section in found.sections}
    assert sections == {
        "general": {"general.architecture": "llama", "general.license": "apache-2.0"},
        "model": {"llama.block_count": 2, "llama.embedding_length": 64},
        "attention": {"llama.attention.head_count": 4},
        "experts": {"llama.expert_count": 4},
        "rope": {"llama.rope.freq_base": 1e6},
        "state space": {"llama.ssm.state_size": 16},
        "tokenizer": {"tokenizer.ggml.tokens": LongArray(length=50_000, element_type="string")},
        "split": {"split.count": 2},
        "other": {"quantize.imatrix.file": "x.dat"},
    }
    assert (found.license, found.n_vocab) == ("apache-2.0", 50_000)


def test_templates_are_told_by_name_and_length() -> None:
    metadata = {"tokenizer.chat_template": "abc", "tokenizer.chat_template.tool_use": "abcdef"}
    assert details(**metadata).chat_templates == (
        ChatTemplate(name="default", characters=3),
        ChatTemplate(name="tool_use", characters=6),
    )


def test_text_of_the_file_is_cut_and_cannot_steer_a_terminal() -> None:
    found = details(general__description="x" * 5000, general__name="evil\x1b[2J", general__tags=("a\x07b",))
    values = found.sections[0].values
    assert len(str(values["general.description"])) == 2000
    assert "\x1b" not in str(values)
    assert "\x07" not in repr(values["general.tags"])


def test_an_empty_header_has_details_too() -> None:
    header = Header(
        paths=("/m.gguf",), version=2, file_bytes=24, data_offset=0, alignment=32, metadata={}, tensors=()
    )
    found = details_of(header)
    assert (found.parameters, found.bits_per_weight, found.types, found.kv_costs) == (0, 0.0, (), ())
