"""A real worker process over its wire: order of frames, cancels, and the end of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from kobold_tui.domain.generation import Finished, GenerateRequest, Message, TextDelta
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine import wire

GREEDY = SamplingOptions(temperature=0)
MakeWorker = Callable[..., Any]


def generate(number: int, max_tokens: int = 20, prompt: str = "hello world") -> wire.Generate:
    request = GenerateRequest(prompt=prompt, max_tokens=max_tokens, sampling=GREEDY)
    return wire.Generate(id=number, request=request)


def text_of(frames: list[wire.AnyReply], number: int) -> str:
    events = [frame.event for frame in frames if isinstance(frame, wire.Event) and frame.id == number]
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def is_end(frame: wire.AnyReply, number: int) -> bool:
    return isinstance(frame, wire.Event) and frame.id == number and isinstance(frame.event, Finished)


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that only waits to be collected by its parent does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def finished(frames: list[wire.AnyReply]) -> Finished:
    """The end of the answer that these frames are."""
    last = frames[-1]
    assert isinstance(last, wire.Event)
    assert isinstance(last.event, Finished)
    return last.event


def number_of(frame: wire.AnyReply) -> int:
    return -1 if isinstance(frame, wire.Hello) else frame.id


def receive_answer(worker: Any, number: int) -> list[wire.AnyReply]:
    frames = [worker.receive()]
    while not is_end(frames[-1], number):
        frames.append(worker.receive())
    return frames


def test_a_worker_loads_answers_and_ends_when_it_is_told_to(
    worker_process: MakeWorker, tiny_llama: Path
) -> None:
    worker = worker_process()
    worker.send(wire.Load(id=1, spec=LoadSpec(path=str(tiny_llama))))
    frames = worker.receive_until(wire.Loaded)
    phases = [frame.phase for frame in frames if isinstance(frame, wire.Progress)]
    assert list(dict.fromkeys(phases)) == ["weights", "context", "template", "warmup"]
    assert frames[-1].info.architecture == "llama"
    worker.send(generate(2))
    frames = receive_answer(worker, 2)
    assert len(text_of(frames, 2)) > 20
    assert finished(frames).usage.completion_tokens == 20
    worker.send(wire.Unload(id=3))
    assert worker.receive() == wire.Done(id=3)
    assert worker.wait() == 0


def test_tokens_that_follow_within_milliseconds_share_a_frame(
    worker_process: MakeWorker, tiny_llama: Path
) -> None:
    worker = worker_process()
    worker.load(tiny_llama)
    worker.send(generate(2, 500))
    frames = receive_answer(worker, 2)
    events = [frame.event for frame in frames if isinstance(frame, wire.Event)]
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert sum(delta.n_tokens for delta in deltas) == 500
    assert len(deltas) < 250


def test_other_requests_are_answered_while_an_answer_streams(
    worker_process: MakeWorker, slow_llama: Path
) -> None:
    worker = worker_process()
    worker.load(slow_llama)
    worker.send(generate(2, 1500), wire.Tokenize(id=3, text="hello"), wire.Ping(id=4))
    before_end: list[wire.AnyReply] = []
    while not {3, 4} <= {number_of(frame) for frame in before_end}:
        before_end.append(worker.receive())
        assert not is_end(before_end[-1], 2)
    worker.send(wire.Cancel(id=5, target=2))
    assert finished(receive_answer(worker, 2)).reason == "cancelled"


def test_a_cancel_ends_an_answer_and_the_next_one_works(worker_process: MakeWorker, slow_llama: Path) -> None:
    worker = worker_process()
    worker.load(slow_llama)
    worker.send(generate(2, 1800))
    first = worker.receive()
    worker.send(wire.Cancel(id=3, target=2), generate(4, 5))
    frames = [first, *receive_answer(worker, 2)]
    assert finished(frames).reason == "cancelled"
    assert finished(receive_answer(worker, 4)).reason == "length"


def test_a_cancel_ends_a_load(worker_process: MakeWorker) -> None:
    worker = worker_process("--scripted", '{"load_steps": 2, "hold_load": true}')
    worker.send(wire.Load(id=1, spec=LoadSpec(path="any.gguf")))
    assert isinstance(worker.receive(), wire.Progress)
    worker.send(wire.Cancel(id=2, target=1))
    frames = worker.receive_until(wire.Refused)
    assert "cancelled" in frames[-1].failure.message


def test_a_refused_load_leaves_a_worker_that_can_load_another(
    worker_process: MakeWorker, tiny_llama: Path, tmp_path: Path
) -> None:
    worker = worker_process()
    worker.send(wire.Load(id=1, spec=LoadSpec(path=str(tmp_path / "none.gguf"))))
    refused = worker.receive_until(wire.Refused)[-1]
    assert "none.gguf" in refused.failure.message
    assert worker.load(tiny_llama).info.has_chat_template


def test_requests_before_a_load_are_refused_in_words(worker_process: MakeWorker) -> None:
    worker = worker_process()
    worker.send(generate(1), wire.Tokenize(id=2, text="x"))
    assert [worker.receive().failure.title for _ in range(2)] == ["No model", "No model"]


def test_two_chats_at_once_have_the_same_text_as_one_alone(
    worker_process: MakeWorker, tiny_llama: Path
) -> None:
    worker = worker_process()
    worker.load(tiny_llama)
    worker.send(generate(2, 60))
    alone = text_of(receive_answer(worker, 2), 2)
    worker.send(generate(3, 60), generate(4, 60, "something else entirely"))
    frames: list[wire.AnyReply] = []
    while not all(any(is_end(frame, number) for frame in frames) for number in (3, 4)):
        frames.append(worker.receive())
    assert text_of(frames, 3) == alone
    assert text_of(frames, 4) != alone


@pytest.mark.parametrize("prompt", ["hello", "hello " * 250], ids=["writing", "reading"])
def test_the_worker_ends_with_the_program_even_in_the_middle_of_a_decode(
    worker_process: MakeWorker, slow_llama: Path, prompt: str
) -> None:
    worker = worker_process()
    worker.load(slow_llama)
    worker.send(generate(2, 1800, prompt), wire.Ping(id=3))
    worker.receive_until(wire.Done)
    worker.socket.close()
    assert worker.wait() == 0


def test_kill_of_the_program_leaves_no_worker(tiny_llama: Path) -> None:
    script = (
        "import socket, subprocess, sys, time\n"
        "ours, theirs = socket.socketpair()\n"
        "command = [sys.executable, '-m', 'kobold_tui.engine.worker', str(theirs.fileno())]\n"
        "worker = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)\n"
        "theirs.close()\n"
        "assert ours.recv(4)\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True
    ) as program:
        assert program.stdout is not None
        worker = psutil.Process(int(program.stdout.readline()))
        program.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while lives(worker) and time.monotonic() < deadline:
        pass
    assert not lives(worker)


def test_a_broken_frame_ends_the_worker_with_a_word_in_the_log(worker_process: MakeWorker) -> None:
    worker = worker_process()
    worker.socket.sendall(b"\xff" * 64)
    assert worker.wait() == 2
    assert "broken frame" in worker.output()


def test_a_crash_of_the_template_process_costs_an_error_and_not_the_model(
    worker_process: MakeWorker, tiny_llama: Path
) -> None:
    worker = worker_process()
    worker.load(tiny_llama)
    for child in psutil.Process(worker.process.pid).children():
        child.kill()
    messages = (Message(role="user", content="hi"),)
    worker.send(wire.Render(id=2, messages=messages), wire.Render(id=3, messages=messages))
    assert isinstance(worker.receive(), wire.Rendered | wire.Refused)
    rendered = worker.receive()
    assert isinstance(rendered, wire.Rendered)
    assert rendered.text == "user: hi\nassistant:"


def test_the_worker_imports_neither_numpy_nor_jinja(tiny_llama: Path) -> None:
    script = (
        "import sys\n"
        "from kobold_tui.engine.worker.llama_backend import LlamaBackend\n"
        "from kobold_tui.domain.instance import LoadSpec\n"
        "backend = LlamaBackend()\n"
        f"backend.load(LoadSpec(path={str(tiny_llama)!r}), lambda *_: None, lambda: False)\n"
        "print(sorted({'numpy', 'jinja2', 'textual', 'asyncio'} & set(sys.modules)))\n"
        "backend.unload()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"


def test_nothing_of_the_library_reaches_standard_output(worker_process: MakeWorker, tiny_llama: Path) -> None:
    worker = worker_process()
    worker.send(wire.Load(id=1, spec=LoadSpec(path=str(tiny_llama), options=LoadOptions(n_ctx=512))))
    worker.receive_until(wire.Loaded)
    worker.send(wire.Unload(id=2))
    worker.wait()
    assert "n_ctx                 = 512" in worker.output()
