"""The same seed and settings give the same text in any slot, whatever runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama, write_tiny_mamba, write_tiny_moe

from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
FinishAll = Callable[[LlamaBackend], dict[int, Any]]


def request(prompt: str, seed: int, max_tokens: int) -> GenerateRequest:
    sampling = SamplingOptions(temperature=1.2, top_k=0, xtc_probability=0.5, repeat_penalty=1.1, seed=seed)
    return GenerateRequest(prompt=prompt, max_tokens=max_tokens, sampling=sampling)


@pytest.fixture(params=[write_tiny_llama, write_tiny_moe, write_tiny_mamba], ids=["llama", "moe", "mamba"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Models whose rows of a batch are computed independently of each other."""
    written: Path = request.param(tmp_path / "m.gguf")
    return written


@pytest.mark.parametrize("unified", [True, False])
@pytest.mark.parametrize("seed", [1, 2])
def test_slot_3_beside_three_busy_slots_writes_what_slot_0_writes_alone(
    load: LoadBackend, finish_all: FinishAll, path: Path, unified: bool, seed: int
) -> None:
    options = LoadOptions(n_threads=1, flash_attn=False, kv_unified=unified)
    wanted = request("tell me more of it", seed, 150)
    alone = load(path, options=options)
    alone.start(9, wanted)
    text = finish_all(alone)[9].text
    busy = load(path, options=options)
    for number, prompt in enumerate(("hello world", "a quick brown fox " * 9, "what is this")):
        busy.start(number, request(prompt, number, 400))
        list(busy.step())
    busy.start(9, wanted)
    begun = "".join(getattr(event, "text", "") for number, event in busy.step() if number == 9)
    assert running_in(busy, slot=3) == 9
    assert len(text) > 100
    assert begun + finish_all(busy)[9].text == text


def running_in(backend: LlamaBackend, *, slot: int) -> int:
    """Number of the request that a slot is writing for."""
    decoder = backend._decoder
    assert decoder is not None
    generation = decoder._slots[slot].generation
    assert generation is not None
    return generation.request_id
