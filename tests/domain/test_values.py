"""The declarations hold: ranges are enforced, unknown keys refused, defaults stay out of files."""

from __future__ import annotations

import msgspec
import pytest

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.domain.model import ArrayRef, Header, TensorInfo
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.sampling import DEFAULT_ORDER, SamplingOptions

DOCUMENTED = """
name = "qwen3-30b on one card"
description = "q8 KV cache, experts of 12 layers in RAM"
model = "~/models/Qwen3-30B-A3B-Q4_K_M.gguf"
kind = "chat"
[load]
n_gpu_layers = "auto"
n_ctx = 16384
type_k = "q8_0"
type_v = "q8_0"
flash_attn = "auto"
tensor_split = [3, 1]
n_cpu_moe = 12
[sampling]
temperature = 0.7
min_p = 0.05
[chat]
system_prompt = "You are helpful."
template = "auto"
[memory]
reserve_bytes = 536870912
"""


def test_the_documented_preset_reads() -> None:
    preset = msgspec.toml.decode(DOCUMENTED, type=Preset)
    assert preset.load.n_ctx == 16384
    assert preset.load.tensor_split == (3.0, 1.0)
    assert preset.sampling.temperature == 0.7
    assert preset.memory.reserve_bytes == 536870912


@pytest.mark.parametrize(
    "line",
    [
        "n_gpu_layers = -1",
        'n_gpu_layers = "all"',
        "n_ctx = 12",
        'type_k = "q9_9"',
        "gpulayers = 3",
        'split_mode = "row"',
        "tensor_split = [-1.0]",
    ],
)
def test_a_load_option_out_of_range_is_refused(line: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(line, type=LoadOptions)


@pytest.mark.parametrize(
    "line", ["temperature = -1", "top_p = 1.5", 'order = ["tfs"]', "seed = -1", "mirostat = 3"]
)
def test_a_sampler_out_of_range_is_refused(line: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(line, type=SamplingOptions)


def test_only_what_differs_from_the_defaults_is_written() -> None:
    preset = Preset(name="p", load=LoadOptions(n_ctx=4096))
    assert msgspec.to_builtins(preset) == {"name": "p", "load": {"n_ctx": 4096}}


def test_infill_runs_only_where_it_is_asked_for() -> None:
    assert "infill" not in DEFAULT_ORDER
    assert DEFAULT_ORDER[-1] == "adaptive_p"


def test_an_estimate_fits_when_every_device_has_room() -> None:
    card = DeviceMemory(
        name="GPU0", weights_bytes=6, kv_bytes=2, compute_bytes=1, overhead_bytes=1, free_bytes=10
    )
    ram = DeviceMemory(name="RAM", weights_bytes=5, free_bytes=4, is_host=True)
    assert card.total_bytes == 10
    assert MemoryEstimate(n_gpu_layers=1, n_layer=2, devices=(card,)).fits
    assert not MemoryEstimate(n_gpu_layers=1, n_layer=2, devices=(card, ram)).fits


def test_a_header_answers_with_the_architecture_in_the_key() -> None:
    header = Header(
        paths=("m.gguf",),
        version=3,
        file_bytes=100,
        data_offset=64,
        alignment=32,
        metadata={
            "general.architecture": "llama",
            "llama.block_count": 2,
            "tokenizer.ggml.tokens": ArrayRef(length=259, element_type=8, offset=10),
        },
        tensors=(TensorInfo(name="a", dimensions=(4, 3), type_id=0, type_name="f32", offset=0, n_bytes=48),),
    )
    assert (header.n_layer, header.n_vocab, header.n_parameters, header.tensor_bytes) == (2, 259, 12, 48)
    assert header.n_ctx_train == 0
    assert header.chat_template == ""
