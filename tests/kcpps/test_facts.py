"""What depends on the model file is computed as KoboldCpp does it, where the file is there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from kcpps_talk import fate, imported, rows

from kobold_tui.storage.kcpps.facts import ModelFacts, read_facts
from kobold_tui.storage.kcpps.importing import import_file

FACTS = ModelFacts(architecture="llama", n_ctx_train=8192)


def base_for(n_ctx: int, facts: ModelFacts, **keys: object) -> tuple[float, float]:
    load = imported({"contextsize": n_ctx, "ropeconfig": [0.0, 10000.0], **keys}, facts).preset.load
    return load.rope_freq_scale, load.rope_freq_base


def test_a_context_beyond_the_trained_one_stretches_the_base() -> None:
    expected = 10_000 ** (math.log10(32768 / math.tau) / math.log10(8192 / math.tau))
    scale, base = base_for(32768, FACTS)
    assert scale == 1.0
    assert base == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("n_ctx", "facts"),
    [
        (8192, FACTS),
        (4096, FACTS),
        (32768, ModelFacts(architecture="llama", n_ctx_train=8192, rope_freq_base=1_000_000.0)),
        (32768, ModelFacts(architecture="llama", n_ctx_train=8192, is_scaled=True)),
        (32768, ModelFacts(architecture="llama", n_ctx_train=0)),
    ],
)
def test_otherwise_the_model_keeps_its_own(n_ctx: int, facts: ModelFacts) -> None:
    assert base_for(n_ctx, facts) == (0.0, 0.0)


def test_a_pretended_trained_context_is_always_computed_with() -> None:
    expected = 10_000 ** (math.log10(4096 / math.tau) / math.log10(2048 / math.tau))
    scale, base = base_for(4096, FACTS, overridenativecontext=2048, rope="ignored")
    assert scale == 1.0
    assert base == pytest.approx(expected, abs=0.1)
    assert fate("overridenativecontext", 2048).status == "unsupported"


def test_a_scale_that_is_given_counts_with_its_base() -> None:
    load = imported({"ropeconfig": [0.25, 40000.0]}).preset.load
    assert (load.rope_freq_scale, load.rope_freq_base) == (0.25, 40000.0)
    assert imported({"ropeconfig": [0.0, 40000.0]}).preset.load.rope_freq_base == 0.0


def test_the_number_of_experts_needs_the_architecture() -> None:
    assert imported({"moeexperts": 3}, FACTS).preset.load.override_kv == {"llama.expert_used_count": 3}
    assert fate("moeexperts", 3).status == "unsupported"
    assert rows(imported({"moeexperts": -1}, FACTS))["moeexperts"].status == "ignored"


def test_no_bos_token_goes_through_the_metadata() -> None:
    load = imported({"nobostoken": True, "overridekv": "a.b=int:1"}).preset.load
    assert load.override_kv == {"a.b": 1, "tokenizer.ggml.add_bos_token": False}


def test_facts_are_read_from_the_model_that_a_file_names(tmp_path: Path, tiny_moe: Path) -> None:
    facts = read_facts(str(tiny_moe))
    assert facts is not None
    path = tmp_path / "moe.kcpps"
    path.write_text(json.dumps({"model_param": str(tiny_moe), "moeexperts": 1}))
    assert import_file(path).preset.load.override_kv == {f"{facts.architecture}.expert_used_count": 1}


@pytest.mark.parametrize("name", ["", "/absent.gguf", "~nobody/x.gguf", "a\0b", "/dev/zero"])
def test_a_model_that_cannot_be_read_has_no_facts(name: str) -> None:
    assert read_facts(name) is None
