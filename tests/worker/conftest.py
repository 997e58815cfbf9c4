"""A backend with a loaded model in this process, and worker processes at the other end of a socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_models import write_tiny_llama

import kobold_tui
from kobold_tui.domain.generation import Finished, GenerateEvent, GenerateRequest, TextDelta
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.engine import wire
from kobold_tui.engine.worker.llama_backend import LlamaBackend
from kobold_tui.engine.worker.templates import TemplateRenderer

PATIENCE_SECONDS = 30.0
MAX_STEPS = 10_000

LoadBackend = Callable[..., LlamaBackend]


class Answer:
    """What came out for one request."""

    def __init__(self, events: list[GenerateEvent]) -> None:
        self.events = events
        deltas = [event for event in events if isinstance(event, TextDelta)]
        self.deltas = deltas
        self.text = "".join(delta.text for delta in deltas if not delta.reasoning)
        self.reasoning = "".join(delta.text for delta in deltas if delta.reasoning)

    @property
    def finished(self) -> Finished:
        """The last event, which is the only one of its kind."""
        ends = [event for event in self.events if isinstance(event, Finished)]
        assert ends == self.events[-1:]
        return ends[0]


def run_all(backend: LlamaBackend) -> dict[int, Answer]:
    """Step until nothing runs and return the answers by request id."""
    events: dict[int, list[GenerateEvent]] = {}
    for _ in range(MAX_STEPS):
        if not backend.busy:
            break
        for request_id, event in backend.step():
            events.setdefault(request_id, []).append(event)
    assert not backend.busy, "the answers never end"
    return {request_id: Answer(of_one) for request_id, of_one in events.items()}


Ask = Callable[[LlamaBackend, GenerateRequest], Answer]


@pytest.fixture
def ask() -> Ask:
    """Run one request to its end."""

    def run(backend: LlamaBackend, request: GenerateRequest) -> Answer:
        backend.start(1, request)
        return run_all(backend)[1]

    return run


@pytest.fixture
def finish_all() -> Callable[[LlamaBackend], dict[int, Answer]]:
    """Run everything that was started to its end."""
    return run_all


@pytest.fixture
def load() -> Iterator[LoadBackend]:
    """Load a file into a backend of this process; all are unloaded afterwards."""
    backends: list[LlamaBackend] = []

    def load_one(
        path: Path,
        *,
        embedding: bool = False,
        template: str = "auto",
        options: LoadOptions | None = None,
        renderer: TemplateRenderer | None = None,
    ) -> LlamaBackend:
        backend = LlamaBackend(renderer)
        backends.append(backend)
        spec = LoadSpec(
            path=str(path),
            embedding=embedding,
            template=template,
            options=options or LoadOptions(n_threads=1),
        )
        backend.load(spec, lambda _phase, _fraction: None, lambda: False)
        return backend

    yield load_one
    for backend in backends:
        backend.unload()


@pytest.fixture
def backend(load: LoadBackend, tiny_llama: Path) -> LlamaBackend:
    """The tiny chat model, loaded with one thread and default options."""
    return load(tiny_llama)


@pytest.fixture(scope="session")
def slow_llama(model_folder: Path) -> Path:
    """A chat model that needs seconds to fill its context."""
    return write_tiny_llama(model_folder / "slow.gguf", n_layer=16, n_embd=192)


class WorkerProcess:
    """A real worker and the program's end of its wire."""

    def __init__(self, *arguments: str) -> None:
        self.socket, theirs = socket.socketpair()
        root = Path(kobold_tui.__file__).parents[1]
        command = [sys.executable, "-m", "kobold_tui.engine.worker", str(theirs.fileno()), *arguments]
        self.process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        theirs.close()
        self.socket.settimeout(PATIENCE_SECONDS)

    def send(self, *frames: wire.AnyRequest) -> None:
        self.socket.sendall(b"".join(wire.encode(frame) for frame in frames))

    def receive(self) -> wire.AnyReply:
        length = wire.body_length(self._read(wire.HEADER_BYTES))
        return wire.decode_reply(self._read(length))

    def receive_until(self, wanted: type[wire.Reply]) -> list[wire.AnyReply]:
        """Return frames up to and with the first of this type."""
        frames = [self.receive()]
        while not isinstance(frames[-1], wanted):
            frames.append(self.receive())
        return frames

    def load(self, path: Path) -> wire.Loaded:
        options = LoadOptions(n_threads=1)
        self.send(wire.Load(id=1, spec=LoadSpec(path=str(path), options=options)))
        loaded = self.receive_until(wire.Loaded)[-1]
        assert isinstance(loaded, wire.Loaded)
        return loaded

    def wait(self) -> int:
        """Return the exit code, which has to come soon."""
        return self.process.wait(PATIENCE_SECONDS)

    def output(self) -> str:
        """Everything that an ended worker wrote to its standard streams."""
        assert self.process.stdout is not None
        return self.process.stdout.read().decode(errors="replace")

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data


MakeWorker = Callable[..., WorkerProcess]


@pytest.fixture
def worker_process() -> Iterator[MakeWorker]:
    """Start workers that have said hello; all are ended afterwards."""
    workers: list[WorkerProcess] = []

    def start(*arguments: str) -> WorkerProcess:
        worker = WorkerProcess(*arguments)
        workers.append(worker)
        assert isinstance(worker.receive(), wire.Hello)
        return worker

    yield start
    for worker in workers:
        worker.close()
