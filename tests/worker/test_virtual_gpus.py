"""Models on cards that are not there write the same, run out of memory as on real ones, and are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama, write_tiny_mamba, write_tiny_moe, write_tiny_swa
from virtual_gpus import computing, figures, launch_with

from kobold_tui.domain.errors import EngineError, KoboldError
from kobold_tui.domain.generation import Finished, GenerateRequest, TextDelta
from kobold_tui.domain.instance import Failed, InstanceId, LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.domain.units import MIB
from kobold_tui.engine.process import ProcessEngine
from kobold_tui.engine.worker import bindings, dry_run
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]
GREEDY = GenerateRequest(prompt="hello world " * 20, max_tokens=24, sampling=SamplingOptions(temperature=0))
WRITERS: dict[str, Callable[[Path], Path]] = {
    "llama": write_tiny_llama,
    "moe": write_tiny_moe,
    "swa": write_tiny_swa,
    "mamba": write_tiny_mamba,
}
ONE_HEAD: dict[str, bool | int | float | str] = {
    "llama.attention.head_count": 1,
    "llama.attention.head_count_kv": 1,
    "llama.rope.dimension_count": 64,
}
"""Makes one head of 64 of the tiny llama's four, which can be quantised and has a kernel in CUDA."""


@pytest.fixture(scope="module", params=["llama", "moe"])
def model(request: pytest.FixtureRequest, tiny_llama: Path, tiny_moe: Path) -> Path:
    return tiny_llama if request.param == "llama" else tiny_moe


def options(**values: Any) -> LoadOptions:
    return LoadOptions(**{"n_threads": 1, "n_ctx": 512, "use_mmap": False, **values})


def load_refused(path: Path, **values: Any) -> KoboldError:
    backend = LlamaBackend()
    spec = LoadSpec(path=str(path), options=options(**values))
    with pytest.raises(KoboldError) as caught:
        backend.load(spec, lambda _phase, _fraction: None, lambda: False)
    backend.unload()
    return caught.value


@pytest.mark.parametrize("cards", ["1G", "1G,1G"], ids=["one card", "two cards"])
def test_partly_offloaded_models_write_what_the_cpu_writes(
    load: LoadBackend, ask: Ask, model: Path, cards: str
) -> None:
    alone = ask(load(model, options=options(n_gpu_layers=0)), GREEDY).text
    assert len(alone) > 24
    split = (1.0, 2.0) if "," in cards else ()
    with computing(cards) as gpus:
        for n_gpu_layers in (0, 1, 2, 3):
            backend = load(model, options=options(n_gpu_layers=n_gpu_layers, tensor_split=split))
            assert ask(backend, GREEDY).text == alone
            assert any(gpu.used_bytes for gpu in gpus)
            backend.unload()
            assert not any(gpu.used_bytes for gpu in gpus)


def test_a_quantised_cache_on_cards_gives_the_same_text(
    load: LoadBackend, ask: Ask, tiny_llama: Path
) -> None:
    def text(n_gpu_layers: int) -> str:
        chosen = options(
            n_gpu_layers=n_gpu_layers, type_k="q8_0", type_v="q8_0", flash_attn=True, override_kv=ONE_HEAD
        )
        answer: str = ask(load(tiny_llama, options=chosen), GREEDY).text
        return answer

    alone = text(0)
    with computing("1G,1G"):
        assert [text(2), text(3)] == [alone, alone]


def test_experts_in_ram_leave_the_text_as_it_is(load: LoadBackend, ask: Ask, tiny_moe: Path) -> None:
    alone = ask(load(tiny_moe, options=options(n_gpu_layers=0)), GREEDY).text
    with computing("1G"):
        backend = load(tiny_moe, options=options(n_cpu_moe=1))
        assert ask(backend, GREEDY).text == alone


@pytest.mark.parametrize("kind", ["llama", "moe", "swa", "mamba"])
@pytest.mark.parametrize("cards", ["1G", "1G,512M"], ids=["one card", "two cards"])
def test_a_load_takes_what_the_dry_run_said(
    load: LoadBackend, model_folder: Path, kind: str, cards: str
) -> None:
    model = WRITERS[kind](model_folder / f"carded-{kind}-F32.gguf")
    with computing(cards):
        for n_gpu_layers in (0, 1, 2):
            backend = load(model, options=options(n_gpu_layers=n_gpu_layers))
            assert backend._model is not None
            planned = dry_run.measure(backend._model.spec)
            assert figures(planned.devices) == figures(dry_run.breakdown(backend._model.context))
            backend.unload()


def test_with_all_layers_on_two_cards_the_dry_run_errs_on_the_safe_side(
    load: LoadBackend, tiny_llama: Path
) -> None:
    """llama.cpp then keeps four copies of what passes between the cards, and plans for one more."""
    with computing("1G,1G"):
        backend = load(tiny_llama, options=options(tensor_split=(1.0, 2.0)))
        assert backend._model is not None
        planned = dry_run.measure(backend._model.spec).devices
        real = dry_run.breakdown(backend._model.context)
    assert figures(planned[:2]) == figures(real[:2])
    assert (planned[2].weights_bytes, planned[2].kv_bytes) == (real[2].weights_bytes, real[2].kv_bytes)
    assert 0 <= planned[2].compute_bytes - real[2].compute_bytes <= MIB


@pytest.mark.parametrize(
    ("size", "words", "remedy"),
    [
        ("400K", "weights of tiny-llama-F32.gguf do not fit", "fewer GPU layers"),
        ("700K", "there is no room for its KV cache", "quantised KV cache"),
        ("4M", "there is no room for its compute buffers", "smaller micro-batch"),
    ],
)
def test_running_out_of_memory_says_of_what(tiny_llama: Path, size: str, words: str, remedy: str) -> None:
    with computing(size) as gpus:
        error = load_refused(tiny_llama, n_ctx=1024, n_gpu_layers=3)
        assert words in error.message
        assert "CUDA0 buffer of size" in error.message
        assert remedy in error.hint
        assert error.log_tail
        assert gpus[0].used_bytes == 0


def test_computing_on_a_card_can_be_aborted(load: LoadBackend, ask: Ask, tiny_llama: Path) -> None:
    """llama.cpp asks whether to go on before each operation, wherever it runs."""

    def questions(n_gpu_layers: int) -> int:
        asked: list[bool] = []

        def go_on(_data: int | None) -> bool:
            asked.append(True)
            return False

        callback = C.ggml_abort_callback(go_on)
        backend = load(tiny_llama, options=options(n_gpu_layers=n_gpu_layers))
        C.llama_set_abort_callback(backend._loaded.context, callback, None)
        ask(backend, GenerateRequest(prompt="hello", max_tokens=1))
        backend.unload()
        return len(asked)

    alone = questions(0)
    with computing("1G"):
        assert questions(3) > alone / 2 > 0


def test_a_card_says_what_is_left_of_it(load: LoadBackend, tiny_llama: Path) -> None:
    with computing("1G") as gpus:
        load(tiny_llama, options=options())
        assert gpus[0].device.free_bytes == 2**30 - gpus[0].used_bytes < 2**30


def test_layers_go_where_memory_is_free(tiny_llama: Path) -> None:
    spec = LoadSpec(path=str(tiny_llama), options=options(n_gpu_layers=3))
    with computing("1G,64M"):
        assert [device.weights_bytes > 0 for device in dry_run.measure(spec).devices] == [True, True, False]
    with computing("64M,1G"):
        _, small, large = dry_run.measure(spec).devices
        assert 0 < small.weights_bytes < large.weights_bytes


async def test_a_worker_takes_its_cards_from_the_environment(tiny_llama: Path) -> None:
    engine = ProcessEngine(InstanceId("carded"), launch=launch_with("256M,256M"))
    info = await engine.ensure_ready(LoadSpec(path=str(tiny_llama), options=options(n_gpu_layers=2)))
    assert (info.devices, info.gpu_offload_supported, info.n_gpu_layers) == (("CUDA0", "CUDA1"), True, 2)
    events = [event async for event in engine.generate(GREEDY)]
    assert isinstance(events[-1], Finished)
    assert "".join(event.text for event in events if isinstance(event, TextDelta))
    await engine.stop()


async def test_a_model_too_big_for_the_card_fails_in_words_and_the_next_load_works(tiny_llama: Path) -> None:
    engine = ProcessEngine(InstanceId("carded"), launch=launch_with("700K"))
    too_big, smaller = (LoadSpec(path=str(tiny_llama), options=options(n_gpu_layers=n)) for n in (3, 0))
    with pytest.raises(EngineError, match="does not fit"):
        await engine.ensure_ready(too_big)
    assert isinstance(engine.state, Failed)
    assert "does not fit" in engine.state.failure.message
    with pytest.raises(EngineError, match="does not fit"):  # op offload wants memory on the card as well
        await engine.ensure_ready(smaller)
    on_cpu = LoadSpec(path=str(tiny_llama), options=options(n_gpu_layers=0, op_offload=False, n_ubatch=16))
    assert (await engine.ensure_ready(on_cpu)).n_gpu_layers == 0
    await engine.stop()


async def test_nonsense_in_the_environment_is_said(tiny_llama: Path) -> None:
    engine = ProcessEngine(InstanceId("carded"), launch=launch_with("many"))
    with pytest.raises(EngineError, match="'many' is not a size"):
        await engine.ensure_ready(LoadSpec(path=str(tiny_llama)))
    await engine.stop()


def test_without_the_variable_there_are_only_real_cards() -> None:
    assert not bindings.gpus_are_replaced()
