"""Which layers keep what, by architecture; the sizes are those that llama.cpp allocates for such a header."""

from __future__ import annotations

from typing import Any

import pytest
from shape_builder import ShapeBuilder

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import Device, predict, shape_of
from kobold_tui.domain.memory.architectures import KNOWN

STATE = {
    "ssm__conv_kernel": 4,
    "ssm__inner_size": 2048,
    "ssm__state_size": 64,
    "ssm__group_count": 2,
    "ssm__time_step_rank": 32,
}
N_CTX = 16_384
TOKEN = 2 * 4 * 128 * 2
"""Bytes of one token in one layer: K and V of four heads of 128 numbers in f16."""

FULL = N_CTX * TOKEN
STATE_BYTES = 4 * 4 * (3 * (2048 + 2 * 2 * 64) + 64 * 2048)
"""Convolution and state of four sequences in one layer."""


def kept(architecture: str, n_layer: int = 12, **metadata: Any) -> int:
    """Return the bytes of cache and state of all layers."""
    shape = ShapeBuilder(architecture, n_layer, 1024, 32_000)
    shape.set(attention__head_count=8, attention__head_count_kv=4, feed_forward_length=2048)
    shape.set(**metadata)
    model = shape_of(shape.header())
    assert model.supported
    options = LoadOptions(n_ctx=N_CTX)
    return predict(model, options, [Device(name="CUDA0", free_bytes=80 << 30)]).cards[0].kv_bytes


def window(n_tokens: int) -> int:
    """Return the bytes of a sliding layer: the window of four sequences and one micro-batch."""
    return -(-(4 * n_tokens + 512) // 256) * 256 * TOKEN


@pytest.mark.parametrize(
    ("architecture", "metadata", "n_sliding", "n_tokens"),
    [
        ("gemma2", {}, 6, 4096),
        ("gemma3", {"attention__sliding_window": 512}, 10, 512),
        ("gpt-oss", {"attention__sliding_window": 128}, 6, 128),
        ("cohere2", {"attention__sliding_window": 1024}, 9, 1024),
        ("olmo2", {"attention__sliding_window": 1024}, 9, 1024),
        ("olmo2", {}, 0, 0),
        ("plamo3", {"attention__sliding_window": 1024}, 11, 1024),
        ("smallthinker", {"attention__sliding_window": 1000}, 9, 4096),
        ("smallthinker", {"attention__sliding_window": 0}, 0, 0),
        ("laguna", {"attention__sliding_window": 512}, 9, 512),
        ("llama4", {"attention__sliding_window": 0}, 0, 0),
        ("exaone4", {"attention__sliding_window": 512}, 0, 0),
        (
            "mimo2",
            {"attention__sliding_window": 128, "attention__sliding_window_pattern": (True, False) * 6},
            6,
            128,
        ),
        ("phi3", {"attention__sliding_window": 2048}, 0, 0),
    ],
)
def test_sliding_layers_keep_their_window(
    architecture: str, metadata: dict[str, Any], n_sliding: int, n_tokens: int
) -> None:
    expected = n_sliding * min(window(n_tokens), FULL) + (12 - n_sliding) * FULL
    assert kept(architecture, **metadata) == expected


def test_llama4_has_windows_of_its_own_size() -> None:
    assert kept("llama4") == 9 * min(window(8192), FULL) + 3 * FULL


def test_only_the_large_exaone4_has_windows() -> None:
    assert kept("exaone4", n_layer=64, attention__sliding_window=512) == 48 * window(512) + 16 * FULL


def test_gemma3n_keeps_a_cache_in_its_first_twenty_layers() -> None:
    found = kept("gemma3n", n_layer=30, attention__sliding_window=512)
    assert found == 16 * window(512) + 4 * FULL


def test_gemma4_shares_the_cache_of_its_last_layers() -> None:
    pattern = (True, True, True, True, True, False) * 2
    found = kept(
        "gemma4",
        attention__sliding_window=512,
        attention__sliding_window_pattern=pattern,
        attention__shared_kv_layers=6,
    )
    assert found == 5 * window(512) + FULL


@pytest.mark.parametrize("architecture", ["jamba", "granitehybrid", "plamo2"])
def test_layers_without_heads_keep_a_state(architecture: str) -> None:
    heads = tuple(4 if block % 4 == 3 else 0 for block in range(12))
    state = STATE_BYTES - (4 * 4 * 3 * 2 * 2 * 64 if architecture == "jamba" else 0)
    assert kept(architecture, **STATE, attention__head_count_kv=heads) == 9 * state + 3 * FULL


def test_falcon_h1_keeps_both_in_every_layer() -> None:
    assert kept("falcon-h1", **STATE) == 12 * (STATE_BYTES + FULL)


def test_nemotron_keeps_nothing_in_feed_forward_layers() -> None:
    heads, widths = (0, 0, 4, 0) * 3, (0, 2048, 0, 0) * 3
    found = kept("nemotron_h", **STATE, attention__head_count_kv=heads, feed_forward_length=widths)
    assert found == 6 * STATE_BYTES + 3 * FULL


def test_every_fourth_layer_of_qwen_attends() -> None:
    assert kept("qwen35", **STATE) == 9 * STATE_BYTES + 3 * FULL
    assert kept("qwen3next", **STATE, full_attention_interval=3) == 8 * STATE_BYTES + 4 * FULL


def test_lfm2_keeps_a_few_tokens_of_its_short_convolutions() -> None:
    heads = tuple(4 if block % 3 == 2 else 0 for block in range(12))
    found = kept("lfm2", shortconv__l_cache=3, attention__head_count_kv=heads)
    assert found == 8 * (4 * 4 * 2 * 1024) + 4 * FULL


def test_rwkv_keeps_two_tokens_and_a_state() -> None:
    assert kept("rwkv7", wkv__head_size=64) == 12 * 4 * 4 * (2 * 1024 + 64 * 1024)


def test_caches_of_their_own_kind_are_not_among_the_known() -> None:
    special = {
        "deepseek4",
        "deepseek32",
        "glm-dsa",
        "glm5-next",
        "minimax-m3",
        "hy_v4",
        "dots3note",
        "qwen4exp",
    }
    assert not special & KNOWN
