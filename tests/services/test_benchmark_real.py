"""A benchmark with llama.cpp: every token of the prompt is read, every token of the answer is written."""

from __future__ import annotations

import json
from pathlib import Path

from program import Program

from kobold_tui.domain.generation import Finished, GenerateRequest, Usage
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.process import ProcessEngine

EOS = 2
ENDS_AT_ONCE = SamplingOptions(temperature=0.0, logit_bias={EOS: 1000.0})


async def usage_of(engine: ProcessEngine, request: GenerateRequest) -> Usage:
    events = [event async for event in engine.generate(request)]
    assert isinstance(events[-1], Finished)
    return events[-1].usage


async def test_an_end_of_the_text_ends_no_answer_that_ignores_it_and_adapters_forget_the_cache(
    tiny_llama: Path,
) -> None:
    engine = ProcessEngine(InstanceId("tiny"))
    try:
        await engine.ensure_ready(LoadSpec(path=str(tiny_llama)))
        request = GenerateRequest(prompt="hello there you", sampling=ENDS_AT_ONCE, max_tokens=9)
        assert (await usage_of(engine, request)).completion_tokens == 0
        request = GenerateRequest(
            prompt="hello there you", sampling=ENDS_AT_ONCE, max_tokens=9, ignore_eos=True
        )
        again = await usage_of(engine, request)
        assert (again.completion_tokens, again.cached_tokens > 0) == (9, True)
        await engine.set_lora(())
        assert (await usage_of(engine, request)).cached_tokens == 0
    finally:
        await engine.stop()


def test_the_program_measures_a_model_and_says_what_it_takes(tmp_path: Path, tiny_llama: Path) -> None:
    program = Program(tmp_path / "home")
    amounts = ("--n-prompt", "301", "--n-gen", "20", "--repeat", "2", "--threads", "1")
    done = program("bench", str(tiny_llama), *amounts, "--type-k", "f16,q5_1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    first, second = document["runs"]
    assert (first["n_prompt"], first["n_gen"], first["repeats"], first["notes"]) == (301, 20, 2, [])
    assert first["prompt_tokens_per_second"] > 0
    assert first["tokens_per_second"] > 0
    assert first["seconds_to_load"] > 0
    (ram,) = [line for line in first["memory"] if line["device"] == "RAM"]
    assert ram["measured_bytes"] > 1_000_000
    assert second["error"] is not None, "no head of 16 numbers can be kept in blocks of 32"
    assert document["winner"] == 0
    assert list((tmp_path / "home" / "data" / "benchmarks").glob("tiny-llama-F32.gguf-*.json"))
