"""Real files of KoboldCpp import to what they mean there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kcpps_talk import DATA, FILES, rows

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import ChatOptions, Preset
from kobold_tui.domain.preset_report import ImportedPreset
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.storage.kcpps.importing import import_file

LOAD = {
    "01_cpu_gemma270m.kcpps": LoadOptions(
        n_gpu_layers=0,
        devices=("CPU",),
        n_ctx=4096,
        n_batch=1024,
        n_threads=2,
        flash_attn=True,
        use_mmap=False,
    ),
    "02_cuda_single_q8kv.kcpps": LoadOptions(
        n_gpu_layers=99,
        n_ctx=32768,
        n_batch=2048,
        n_ubatch=1024,
        n_threads=1,
        flash_attn=True,
        type_k="q8_0",
        type_v="q8_0",
        split_mode="none",
        main_gpu=0,
        use_mmap=False,
    ),
    "03_cuda_multigpu_moe.kcpps": LoadOptions(
        n_gpu_layers=37,
        n_ctx=65536,
        n_batch=512,
        n_ubatch=512,
        n_threads=24,
        n_threads_batch=32,
        flash_attn=True,
        offload_kqv=False,
        swa_full=True,
        tensor_split=(3.0, 2.0),
        main_gpu=1,
        n_cpu_moe=12,
        override_tensors=(r"blk\.(1[0-9])\.ffn_.*_exps.*=CPU",),
        override_kv={"tokenizer.ggml.add_bos_token": False, "gpt-oss.expert_used_count": 4},
        use_mlock=True,
        n_seq_max=4,
    ),
    "05_admin_router_embed_vision.kcpps": LoadOptions(
        n_ctx=16384,
        n_batch=1024,
        n_threads=1,
        flash_attn=True,
        use_mmap=False,
        mmproj="mmproj-F16.gguf",
        mmproj_offload=False,
    ),
    "07_template.kcppt": LoadOptions(
        n_ctx=8192, n_batch=1024, flash_attn=True, type_k="q4_0", type_v="q4_0", use_mmap=False
    ),
}


def found(name: str) -> ImportedPreset:
    return import_file(DATA / name)


@pytest.mark.parametrize("name", LOAD)
def test_a_file_says_how_to_load(name: str) -> None:
    assert found(name).preset.load == LOAD[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_key_of_a_file_has_exactly_one_line(path: Path) -> None:
    keys = [row.key for row in import_file(path).report if "." not in row.key]
    assert keys == list(json.loads(path.read_text("utf-8")))


def test_models_are_named_by_path_or_else_by_the_file_to_fetch() -> None:
    assert found("01_cpu_gemma270m.kcpps").preset.model == "/models/gemma-3-270m-q4_k_m.gguf"
    vision = found("05_admin_router_embed_vision.kcpps")
    assert vision.preset.model == "gemma-3-12b-it-Q4_K_M.gguf"
    assert [(offer.key, offer.file_name) for offer in vision.downloads] == [
        ("model_param", "gemma-3-12b-it-Q4_K_M.gguf"),
        ("mmproj", "mmproj-F16.gguf"),
    ]
    base = "https://huggingface.co/unsloth/gemma-3-12b-it-GGUF/resolve/main"
    assert vision.downloads[0].urls == (f"{base}/gemma-3-12b-it-Q4_K_M.gguf",)
    assert rows(vision)["model_param"].status == "approximated"


def test_chat_settings_come_along() -> None:
    assert found("02_cuda_single_q8kv.kcpps").preset.chat == ChatOptions(template="chatml", max_tokens=768)
    assert found("07_template.kcppt").preset.chat.template == "llama3"
    vision = found("05_admin_router_embed_vision.kcpps").preset
    assert vision.chat.template == "auto"
    assert vision.chat.template_options == {"enable_thinking": False}
    assert vision.sampling == SamplingOptions(temperature=0.6, top_p=0.95, min_p=0.0)
    assert vision.memory.idle_unload_seconds == 600


def test_an_embedding_model_becomes_a_preset_of_its_own() -> None:
    (companion,) = found("05_admin_router_embed_vision.kcpps").companions
    assert companion == Preset(
        name="05_admin_router_embed_vision embeddings",
        model="/models/nomic-embed-text-v1.5.f16.gguf",
        kind="embedding",
        load=LoadOptions(n_ctx=2048, n_batch=2048, n_ubatch=2048, offload_kqv=False),
    )


def test_what_cannot_be_taken_over_says_why() -> None:
    report = rows(found("05_admin_router_embed_vision.kcpps"))
    assert report["onready"].status == "refused"
    assert report["adminpassword"].status == "refused"
    assert report["visionmaxres"].status == "unsupported"
    assert report["baseconfig"].status == "unsupported"
    assert report["routermode"].status == "ignored"
    assert all(row.note for row in report.values() if row.status in {"refused", "unsupported"})
    assert rows(found("03_cuda_multigpu_moe.kcpps"))["splitmode"].status == "approximated"
