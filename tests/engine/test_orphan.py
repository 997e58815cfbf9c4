"""Nothing that holds memory outlives the program, not even when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

PROGRAM = """
import asyncio, sys
from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.engine.process import ProcessEngine
from kobold_tui.engine.spawn import Launch

async def main():
    engine = ProcessEngine(InstanceId("x"), launch=Launch(arguments=("--scripted", sys.argv[1])))
    await engine.ensure_ready(LoadSpec(path="model.gguf"))
    async for event in engine.generate(GenerateRequest(prompt="a b c")):
        print(engine.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "script",
    [
        '{"hold_answer_after": 1}',
        '{"at_answer": {"kind": "hang"}, "after_tokens": 1, "ignore_terminate": true}',
    ],
    ids=["answering", "hanging"],
)
def test_a_worker_is_gone_within_two_seconds_of_its_parent(script: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as output:
        worker = int(output.readline())
    assert is_running(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ends_within_two_seconds(worker)


def is_running(pid: int) -> bool:
    """Whether a process lives; a dead one that its new parent has not asked about yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def ends_within_two_seconds(pid: int) -> bool:
    deadline = time.monotonic() + 2
    while is_running(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not is_running(pid)


def test_a_loop_that_closes_without_a_stop_takes_its_workers_along() -> None:
    program = PROGRAM.replace("await asyncio.Event().wait()", "return")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, '{"hold_answer_after": 1}'],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    worker = int(run.stdout.split()[0])
    assert run.returncode == 0
    assert ends_within_two_seconds(worker)
