"""The C loops of `native.c` in a process of their own, over the library that the worker uses.

The process loads the model with the worker's own code, so that parameters, samplers and tokens are the same;
only the loop is C. It waits for work between two runs and takes no time then.
"""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import subprocess
import time
from array import array
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.library import library_directory
from tools.bench import models
from tools.bench.measure import Cost

_SOURCE = Path(__file__).with_name("native.c")


class Written(NamedTuple):
    """What a loop wrote: its cost, text of the first sequence, CPU seconds of the process by token."""

    cost: Cost
    text: str
    cpu_seconds: list[float]


class Embedded(NamedTuple):
    """What a loop computed: its cost, its cost without tokenising, and float32 vectors of length one."""

    cost: Cost
    cost_of_tokens: Cost
    vectors: bytes


class Native:
    """A model under the C loops; a context manager."""

    def __init__(self, spec: LoadSpec) -> None:
        self._library = build()
        self._spec = spec
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, spec, str(self._library)), daemon=True)

    def __enter__(self) -> Native:
        self._process.start()
        self._receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()

    def generate(self, prompt: str, options: SamplingOptions, n_tokens: int, n_seq: int = 1) -> Written:
        """Write `n_tokens` tokens on each of `n_seq` sequences after the same prompt."""
        return Written(*self._call("generate", prompt, options, n_tokens, n_seq))

    def count_tokens(self, prompt: str) -> int:
        """Return how many tokens a prompt has."""
        return int(self._call("count", prompt))

    def embed(self, texts: Sequence[str], *, apart: bool = False) -> Embedded:
        """Return the cost and the vectors, in the worker's batches or with every text in its own."""
        return Embedded(*self._call("embed", tuple(texts), apart))

    def _call(self, *request: Any) -> Any:
        self._pipe.send(request)
        return self._receive()

    def _receive(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def build() -> Path:
    """Compile the loops and link them to the installed llama.cpp. Raises RuntimeError without a compiler."""
    libraries = library_directory()
    if libraries is None:
        raise RuntimeError("llama-cpp-python is not installed.")
    llama = libraries / "libllama.so"
    key = hashlib.sha256(_SOURCE.read_bytes() + str(llama.resolve()).encode()).hexdigest()[:16]
    target = models.folder() / f"native-{key}.so"
    if not target.exists():
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(target), str(_SOURCE), str(llama), "-lm"]
        try:
            subprocess.run([*command, f"-Wl,-rpath,{libraries}"], check=True)
        except FileNotFoundError as error:
            raise RuntimeError("The comparison needs a C compiler called cc.") from error
    return target


def _serve(pipe: Connection, spec: LoadSpec, library: str) -> None:
    """Answer requests until the other end is gone (runs in the process)."""
    log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 2)
    loops = _Loops(spec, library)
    pipe.send(None)
    actions: dict[str, Callable[..., Any]] = {
        "generate": loops.generate, "embed": loops.embed, "count": loops.count,
    }  # fmt: skip
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(actions[name](*arguments))
        except Exception as error:  # noqa: BLE001 - told to the process that asked
            pipe.send(error)


class _Loops:
    """A model loaded as the worker loads it, and the C functions."""

    def __init__(self, spec: LoadSpec, library: str) -> None:
        from kobold_tui.engine.worker import bindings
        from kobold_tui.engine.worker.abort_flag import AbortFlag
        from kobold_tui.engine.worker.model import load_model

        bindings.initialise()
        self._model = load_model(spec, lambda _phase, _fraction: None, lambda: False, AbortFlag())
        self._model.warm_up()
        functions = ctypes.CDLL(library)
        self._generate, self._embed = functions.generate, functions.embed
        self._generate.restype = self._embed.restype = ctypes.c_double

    def _timed(self, loop: Callable[..., float], *arguments: Any) -> Cost:
        """Run a C loop, which returns its wall seconds. Raises RuntimeError when it was broken off."""
        cpu_started = time.process_time()
        seconds = loop(*arguments)
        if seconds < 0:
            raise RuntimeError("The C loop was broken off by llama.cpp or by an end token.")
        return Cost(seconds, time.process_time() - cpu_started)

    def count(self, prompt: str) -> int:
        return len(self._model.vocab.tokenize_prompt(prompt))

    def generate(self, prompt: str, options: SamplingOptions, n_tokens: int, n_seq: int) -> tuple[Any, ...]:
        from kobold_tui.engine.worker.sampling import SamplerChain

        model = self._model
        tokens = model.vocab.tokenize_prompt(prompt)
        chains = [SamplerChain(model.vocab, options, tokens, model.n_ctx_seq) for _ in range(n_seq)]
        drawn, cpu = (ctypes.c_int32 * n_tokens)(), (ctypes.c_double * n_tokens)()
        cost = self._timed(
            self._generate,
            ctypes.c_void_p(model.context),
            ctypes.c_void_p(model.vocab.handle),
            (ctypes.c_void_p * n_seq)(*(ctypes.cast(chain.handle, ctypes.c_void_p) for chain in chains)),
            n_seq,
            (ctypes.c_int32 * len(tokens))(*tokens),
            len(tokens),
            min(model.n_batch, model.n_ubatch),
            n_tokens,
            drawn,
            cpu,
        )
        for chain in chains:
            chain.free()
        text = b"".join(model.vocab.piece(token) for token in drawn).decode("utf-8", "replace")
        return cost, text, list(cpu)

    def embed(self, texts: Sequence[str], apart: bool) -> tuple[Cost, Cost, bytes]:
        model = self._model
        groups = [1] * len(texts) if apart else self._batches(texts)
        width = model.weights.n_embd_out
        vectors, tokenising = (ctypes.c_float * (len(texts) * width))(), ctypes.c_double()
        cost = self._timed(
            self._embed,
            ctypes.c_void_p(model.context),
            ctypes.c_void_p(model.vocab.handle),
            (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts)),
            _edges(groups),
            len(groups),
            model.n_batch,
            width,
            vectors,
            ctypes.byref(tokenising),
        )
        spent = tokenising.value
        of_tokens = Cost(cost.seconds - spent, cost.cpu_seconds - spent)
        return cost, of_tokens, array("f", vectors).tobytes()

    def _batches(self, texts: Sequence[str]) -> list[int]:
        """Return how many texts the worker puts into each batch."""
        from kobold_tui.engine.worker.embed import Embedder

        tokenize = self._model.vocab.tokenize
        embedder = Embedder(self._model)
        rows = [tokenize(text, add_special=True, parse_special=False) for text in texts]
        sizes = [len(group) for group in embedder.groups(rows)]
        embedder.close()
        return sizes


def _edges(sizes: Sequence[int]) -> Any:
    """Return where each piece begins, and the end of the last one."""
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    return (ctypes.c_int32 * len(edges))(*edges)
