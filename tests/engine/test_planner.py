"""Dry runs in a process of their own: the newest counts, and a crash or a hang costs one answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.units import GIB
from kobold_tui.domain.virtual_card import VirtualCard, parse_cards
from kobold_tui.engine.planner import DryRunner, PlannerDeadlines, SupersededError, probe_planner
from kobold_tui.engine.spawn import DEFAULT_LAUNCH, Launch

CARDS = parse_cards("2G,1G")
PATIENCE_SECONDS = 5.0
Make = Callable[..., DryRunner]
Until = Callable[[Callable[[], bool]], Awaitable[None]]

WORKER = "import sys; from kobold_tui.engine.worker.__main__ import main; "
NO_BREAKDOWN = 'from kobold_tui.engine.worker import memory_breakdown as m; m._SYMBOL = "_Z7nothingv"; '
FATAL_TEST = (
    "import os; from kobold_tui.engine.worker import memory_self_test as m; "
    "m.examine = lambda **_: os.abort(); "
)
ABORT_AT_777 = (
    "import os; from kobold_tui.engine.worker import dry_run as d; measure = d.measure\n"
    "def fatal(spec, *a, **k):\n"
    "    if spec.options.n_ctx == 777:\n"
    "        os.write(2, b'ggml.c:1: GGML_ASSERT(cells) failed\\n'); os.abort()\n"
    "    return measure(spec, *a, **k)\n"
    "d.measure = fatal\n"
)


def patched(code: str) -> Launch:
    """How a planner is started whose library behaves differently."""
    return Launch(command=(sys.executable, "-P", "-c", f"{WORKER}{code}\nraise SystemExit(main())"))


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Make runners; all are closed afterwards."""
    runners: list[DryRunner] = []

    def make_one(launch: Launch = DEFAULT_LAUNCH, **deadlines: float) -> DryRunner:
        runners.append(DryRunner(launch=launch, deadlines=PlannerDeadlines(**deadlines)))
        return runners[-1]

    yield make_one
    for runner in runners:
        if runner.pid is not None:
            os.kill(runner.pid, signal.SIGCONT)
        await runner.close()


def options(n_gpu_layers: int = 2, n_ctx: int = 512) -> LoadOptions:
    return LoadOptions(n_gpu_layers=n_gpu_layers, n_ctx=n_ctx)


def running_pid(runner: DryRunner) -> int:
    assert runner.pid is not None
    return runner.pid


async def begun(*tasks: asyncio.Task[MemoryEstimate]) -> None:
    """Let tasks run until each waits for its answer."""
    for _ in range(3 + len(tasks)):
        await asyncio.sleep(0)


async def test_virtual_cards_are_planned_for_by_one_warm_process(make: Make, tiny_llama: Path) -> None:
    runner = make()
    none = await runner.measure(tiny_llama, options(0), CARDS)
    pid = running_pid(runner)
    some = await runner.measure(LoadSpec(path=str(tiny_llama), options=options(3)), cards=CARDS)
    assert runner.pid == pid
    assert [device.name for device in some.devices] == ["RAM", "CUDA0", "CUDA1"]
    assert [device.free_bytes for device in some.devices[1:]] == [2 * GIB, GIB]
    assert (none.exact, none.n_gpu_layers, some.n_gpu_layers) == (True, 0, 3)
    assert none.devices[1].weights_bytes == 0 < some.devices[1].weights_bytes
    assert sum(device.kv_bytes for device in none.devices) == sum(device.kv_bytes for device in some.devices)


async def test_any_number_of_cards_can_follow_each_other(make: Make, tiny_moe: Path) -> None:
    runner = make()
    for count in (0, 3, 1):
        cards = [VirtualCard(name=f"card {number}", free_bytes=GIB) for number in range(count)]
        devices = (await runner.measure(tiny_moe, options(), cards)).devices
        assert [device.name for device in devices[1:]] == [card.name for card in cards]


async def test_the_real_devices_get_a_process_for_each_answer(make: Make, tiny_llama: Path) -> None:
    runner = make()
    estimate = await runner.measure(tiny_llama, options(0))
    assert estimate.exact
    assert estimate.devices[0].kv_bytes == 512 * 2 * 128 * 2
    assert runner.pid is None
    await runner.close()


async def test_a_model_that_cannot_be_loaded_is_refused_as_in_a_load(make: Make, tmp_path: Path) -> None:
    runner = make()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    with pytest.raises(EngineError, match=r"broken\.gguf"):
        await runner.measure(broken, options(), CARDS)
    pid = running_pid(runner)
    with pytest.raises(EngineError, match="no file"):
        await runner.measure(tmp_path / "nowhere.gguf", options(), CARDS)
    assert runner.pid == pid


async def test_an_abort_inside_llama_cpp_is_told_and_the_next_answer_comes(
    make: Make, tiny_llama: Path
) -> None:
    runner = make(patched(ABORT_AT_777))
    with pytest.raises(EngineError) as caught:
        await runner.measure(tiny_llama, options(n_ctx=777), CARDS)
    assert caught.value.title == "The dry run failed"
    assert "tiny-llama-F32.gguf" in caught.value.message
    assert "GGML_ASSERT(cells) failed" in caught.value.message
    assert caught.value.log_tail[-1].endswith("GGML_ASSERT(cells) failed")
    assert (await runner.measure(tiny_llama, options(), CARDS)).exact


async def test_a_hang_ends_after_a_while_and_the_next_answer_comes(make: Make, tiny_llama: Path) -> None:
    runner = make(answer_seconds=1.5, end_seconds=0.05)
    await runner.measure(tiny_llama, options(), CARDS)
    stopped = running_pid(runner)
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(EngineError, match="gave no answer for 1") as caught:
        await runner.measure(tiny_llama, options(), CARDS)
    assert "tiny-llama-F32.gguf" in caught.value.message
    assert (await runner.measure(tiny_llama, options(), CARDS)).exact
    assert runner.pid != stopped
    assert not psutil.pid_exists(stopped)


async def test_a_newer_request_takes_the_place_of_one_that_waits(make: Make, tiny_llama: Path) -> None:
    runner = make()
    await runner.measure(tiny_llama, options(), CARDS)
    os.kill(running_pid(runner), signal.SIGSTOP)
    layers = [asyncio.create_task(runner.measure(tiny_llama, options(1), CARDS))]
    await begun(*layers)
    kept = asyncio.create_task(runner.measure(tiny_llama, options(0), CARDS, replaceable=False))
    for n_gpu_layers in (2, 3):
        layers.append(asyncio.create_task(runner.measure(tiny_llama, options(n_gpu_layers), CARDS)))
        await begun(*layers)
    with pytest.raises(SupersededError):
        await layers[1]
    os.kill(running_pid(runner), signal.SIGCONT)
    answers = [await task for task in (layers[0], kept, layers[2])]
    assert [answer.n_gpu_layers for answer in answers] == [1, 0, 3]


async def test_whoever_no_longer_waits_delays_nobody(make: Make, tiny_llama: Path) -> None:
    runner = make(patched(ABORT_AT_777))
    await runner.measure(tiny_llama, options(), CARDS)
    pid = running_pid(runner)
    os.kill(pid, signal.SIGSTOP)
    given_up = [
        asyncio.create_task(runner.measure(tiny_llama, options(n_ctx=n_ctx), CARDS, replaceable=False))
        for n_ctx in (512, 777)
    ]
    await begun(*given_up)
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    os.kill(pid, signal.SIGCONT)
    assert (await runner.measure(tiny_llama, options(3), CARDS)).n_gpu_layers == 3
    assert runner.pid == pid


async def test_a_planner_that_is_not_asked_ends(make: Make, tiny_llama: Path, until: Until) -> None:
    runner = make(idle_seconds=0.05)
    await runner.measure(tiny_llama, options(), CARDS)
    await until(lambda: runner.pid is None)
    assert (await runner.measure(tiny_llama, options(), CARDS)).exact


async def test_closing_gives_up_what_waits_and_leaves_no_process(make: Make, tiny_llama: Path) -> None:
    runner = make(end_seconds=0.05)
    await runner.measure(tiny_llama, options(), CARDS)
    pid = running_pid(runner)
    os.kill(pid, signal.SIGSTOP)
    waiting = [
        asyncio.create_task(runner.measure(tiny_llama, options(number), CARDS, replaceable=False))
        for number in range(2)
    ]
    await begun(*waiting)
    await runner.close()
    for task in waiting:
        with pytest.raises(EngineError, match="given up"):
            await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert not psutil.pid_exists(pid)


async def test_a_planner_is_shielded_like_any_worker(make: Make, tiny_llama: Path, until: Until) -> None:
    runner = make()
    await runner.measure(tiny_llama, options(), CARDS)
    process = psutil.Process(running_pid(runner))
    environment = process.environ()
    assert environment["GGML_NO_BACKTRACE"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    score = Path(f"/proc/{process.pid}/oom_score_adj")
    await until(lambda: score.read_text(encoding="ascii").strip() == "900")


async def test_what_works_is_told(make: Make) -> None:
    runner = make()
    able = await runner.capabilities()
    assert able.exact
    assert await runner.capabilities() == able
    assert await probe_planner() == able


async def test_a_library_that_is_not_understood_is_told_and_its_log_is_read_instead(
    make: Make, tiny_llama: Path
) -> None:
    runner = make(patched(NO_BREAKDOWN))
    able = await runner.capabilities()
    assert (able.breakdown, able.virtual_cards) == (False, False)
    assert "no function _Z7nothingv" in able.reason
    with pytest.raises(EngineError, match="no function _Z7nothingv"):
        await runner.measure(tiny_llama, options(), CARDS)
    estimate, exact = [await chosen.measure(tiny_llama, options()) for chosen in (runner, make())]
    assert (estimate.exact, exact.exact) == (False, True)
    assert any("read from the log" in note for note in estimate.notes)
    for told, known in zip(estimate.devices, exact.devices, strict=True):
        assert (told.weights_bytes, told.kv_bytes) == (known.weights_bytes, known.kv_bytes)
        assert told.compute_bytes == pytest.approx(known.compute_bytes, abs=2**20 / 100)


async def test_a_self_test_that_ends_its_process_is_survived(make: Make, tiny_llama: Path) -> None:
    runner = make(patched(FATAL_TEST))
    able = await runner.capabilities()
    assert not able.exact
    assert "signal 6" in able.reason
    with pytest.raises(EngineError, match="did not end well"):
        await runner.measure(tiny_llama, options(), CARDS)
    assert not (await runner.measure(tiny_llama, options())).exact
