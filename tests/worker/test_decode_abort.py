"""An abort in the middle of a decode: what was finished stays, the rest is done again, no text changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama, write_tiny_mamba, write_tiny_swa

from kobold_tui.domain.generation import GenerateRequest, PromptProgress
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.llama_backend import LlamaBackend

LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]
FinishAll = Callable[[LlamaBackend], dict[int, Any]]

GREEDY = SamplingOptions(temperature=0)
LONG = "the long prompt of a patient reader " * 12


@pytest.fixture(params=[write_tiny_llama, write_tiny_swa, write_tiny_mamba], ids=["llama", "swa", "mamba"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Models with each kind of memory."""
    written: Path = request.param(tmp_path / "m.gguf")
    return written


class AbortAfter:
    """In the place of the abort flag: stops a decode when llama.cpp has asked `n_calls` times."""

    def __init__(self, backend: LlamaBackend) -> None:
        self._model = backend._loaded
        self._left = -1
        self._callback = C.ggml_abort_callback(self._ask)
        C.llama_set_abort_callback(self._model.context, self._callback, None)

    def _ask(self, _data: int | None) -> bool:
        self._left -= 1
        return self._left == 0

    def arm(self, n_calls: int) -> None:
        self._left = n_calls
        C.llama_set_abort_callback(self._model.context, self._callback, None)

    @property
    def fired(self) -> bool:
        return self._left <= 0

    def remove(self) -> None:
        abort = self._model.abort
        C.llama_set_abort_callback(self._model.context, abort.callback, abort.data)


MakeAbort = Callable[[LlamaBackend], AbortAfter]


@pytest.fixture
def abort_after() -> Iterator[MakeAbort]:
    made: list[AbortAfter] = []

    def make(backend: LlamaBackend) -> AbortAfter:
        made.append(AbortAfter(backend))
        return made[-1]

    yield make
    for abort in made:
        abort.remove()


def request(prompt: str, max_tokens: int = 20, **fields: Any) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, max_tokens=max_tokens, **{"sampling": GREEDY, **fields})


@pytest.mark.parametrize("unified", [True, False])
@pytest.mark.parametrize("n_calls", [1, 5, 60])
def test_texts_do_not_change_wherever_decodes_are_cut(
    load: LoadBackend,
    abort_after: MakeAbort,
    path: Path,
    unified: bool,
    n_calls: int,
) -> None:
    prompts = (LONG, "hello world", "tell me")

    def texts(n_calls: int) -> list[str]:
        options = LoadOptions(n_threads=1, kv_unified=unified, flash_attn=False, n_draft=2)
        backend = load(path, options=options)
        abort = abort_after(backend)
        collected = ["", "", ""]
        for number, prompt in enumerate(prompts):
            backend.start(number, request(prompt))
        while backend.busy:
            abort.arm(n_calls)
            for _ in range(2):  # one decode that is cut, one that is not
                for number, event in backend.step():
                    collected[number] += getattr(event, "text", "")
                abort.arm(-1)
        return collected

    assert texts(n_calls) == texts(-1)


def test_a_cancel_within_a_long_prompt_ends_the_decode_that_runs(
    load: LoadBackend, finish_all: FinishAll, ask: Ask, abort_after: MakeAbort, tiny_llama: Path
) -> None:
    backend = load(tiny_llama)
    abort = abort_after(backend)
    backend.start(1, request(LONG))
    abort.arm(8)
    assert list(backend.step()) == []
    assert abort.fired
    backend.cancel(1)
    finished = finish_all(backend)[1].finished
    assert (finished.reason, finished.usage.completion_tokens) == ("cancelled", 0)
    fresh = load(tiny_llama)
    assert ask(backend, request(LONG)).text == ask(fresh, request(LONG)).text


def test_the_flag_stops_a_decode_before_anything_is_evaluated(
    load: LoadBackend, finish_all: FinishAll, slow_llama: Path
) -> None:
    backend = load(slow_llama, options=LoadOptions(n_threads=1, n_ubatch=256))
    backend.start(1, request("hello " * 250))
    backend.interrupt()
    assert list(backend.step()) == []
    (progress,) = [event for _, event in backend.step()]
    assert isinstance(progress, PromptProgress)
    assert progress.done == 256
    backend.cancel(1)
    assert finish_all(backend)[1].finished.reason == "cancelled"


def test_an_abort_leaves_nothing_in_the_log(
    backend: LlamaBackend, capfd: pytest.CaptureFixture[str], finish_all: FinishAll
) -> None:
    backend.start(1, request(LONG))
    capfd.readouterr()
    backend.interrupt()
    assert list(backend.step()) == []
    assert capfd.readouterr().err == ""
    finish_all(backend)


@pytest.mark.parametrize("n_calls", [1, 2])
def test_an_abort_while_a_window_moves_changes_no_text(
    load: LoadBackend, ask: Ask, abort_after: MakeAbort, tiny_llama: Path, n_calls: int
) -> None:
    options = LoadOptions(n_threads=1, n_ctx=256, type_k="f32", type_v="f32", flash_attn=False)
    undisturbed = ask(load(tiny_llama, options=options), request("hello", 300)).text
    backend = load(tiny_llama, options=options)
    abort = abort_after(backend)
    backend.start(1, request("hello", 300))
    collected = ""
    while backend.busy:
        abort.arm(n_calls)
        for _ in range(2):
            collected += "".join(getattr(event, "text", "") for _, event in backend.step())
            abort.arm(-1)
    assert collected == undisturbed


def test_a_split_cache_keeps_what_was_finished_before_the_abort(
    load: LoadBackend, abort_after: MakeAbort, tiny_llama: Path
) -> None:
    backend = load(tiny_llama, options=LoadOptions(n_threads=1, kv_unified=False, n_seq_max=2))
    abort = abort_after(backend)
    backend.start(1, request("hi"))
    backend.start(2, request(LONG))
    decoder = backend._decoder
    assert decoder is not None
    for n_calls in range(1, 400):
        abort.arm(n_calls)
        list(backend.step())
        if any(slot.cached for slot in decoder._slots):
            break
    assert abort.fired
    kept = [len(slot.cached) for slot in decoder._slots if slot.cached]
    ends = [C.llama_memory_seq_pos_max(backend._loaded.memory, slot.sequence) for slot in decoder._slots]
    assert [end + 1 for end in ends if end >= 0] == kept
