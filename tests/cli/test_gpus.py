"""`kobold-tui gpus` shows the gauge's numbers, for people in columns and for scripts as JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_world import World
from nvml_stub import GPU_IS_LOST, Stub
from pseudo_terminal import Terminal

from kobold_tui.cli.gpu_figures import document, lines
from kobold_tui.cli.output import cell_width
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, HostSnapshot, MigInstance, Telemetry

ROOT = Path(__file__).resolve().parents[2]
GIB = 1024**3
HOST = HostSnapshot(memory_total_bytes=24 * GIB, memory_available_bytes=20 * GIB, cpu_percent=7.0)
FULL = GpuSnapshot(
    index=0,
    uuid="GPU-0",
    name="NVIDIA A100-SXM4-80GB",
    memory_total_bytes=80 * GIB,
    memory_used_bytes=46 * GIB,
    memory_free_bytes=34 * GIB,
    utilization_percent=18,
    temperature_c=57,
    power_w=172.4,
    power_limit_w=400.0,
    fan_percent=30,
    clock_sm_mhz=1410,
    processes=(
        GpuProcess(pid=4711, name="train", user="ann", memory_bytes=GIB, utilization_percent=4),
        GpuProcess(
            pid=99, name="python", user="me", memory_bytes=45 * GIB, instance="qwen", is_verified=True
        ),
        GpuProcess(pid=12),
    ),
)
POOR = GpuSnapshot(index=1, uuid="", name="Card", is_visible=False, are_processes_known=False)
PROMISED = (
    *("index", "uuid", "name", "memory_total_bytes", "memory_used_bytes", "memory_free_bytes"),
    *("utilization_percent", "temperature_c", "power_w", "power_limit_w", "fan_percent", "clock_sm_mhz"),
    "processes",
)


def telemetry(*gpus: GpuSnapshot) -> Telemetry:
    return Telemetry(taken_at=0.0, host=HOST, gpus=gpus, driver="580.95.05", cuda_version="13.0")


def test_json_has_the_promised_keys_first_and_null_for_the_unknown(command_line: CommandLine) -> None:
    command_line.world = World(gpus=(FULL, POOR))
    found = command_line.run("gpus", "--json").json
    assert tuple(found)[:3] == ("driver", "gpus", "host")
    full, poor = found["gpus"]
    assert tuple(full)[: len(PROMISED)] == tuple(poor)[: len(PROMISED)] == PROMISED
    assert tuple(full["processes"][0])[:4] == ("pid", "name", "memory_bytes", "instance")
    assert full["processes"][1]["instance"] == "qwen"
    assert {key: poor[key] for key in PROMISED if key not in {"index", "name"}} == dict.fromkeys(
        key for key in PROMISED if key not in {"index", "name"}
    )
    assert tuple(found["host"])[:3] == ("memory_total_bytes", "memory_available_bytes", "cpu_percent")
    assert found["host"]["cpu_percent"] == 7.0


def test_the_age_of_figures_is_told_in_seconds() -> None:
    stale = document(telemetry(GpuSnapshot(index=0, uuid="", name="Card", stale_since=10.0)), now=22.5)
    assert json.loads(json.dumps(stale["gpus"]))[0]["stale_seconds"] == 12.5


def test_people_read_a_table_with_our_processes_first() -> None:
    shown = lines(telemetry(FULL, POOR), 80)
    assert all(cell_width(line) <= 80 for line in shown)
    assert shown[1].split() == [
        *("0", "NVIDIA", "A100-SXM4-80GB", "46.0/80.0", "18%", "57", "°C", "172/400", "30%", "1410")
    ]
    assert shown[2].split() == ["(1)", "Card", *["n/a"] * 6]
    names = [line.split()[2] for line in shown[5:8]]
    assert names == ["qwen", "train", "unknown"]
    assert shown[-1] == "RAM 4.0/24.0 GiB   CPU 7%   driver 580.95.05   CUDA 13.0"


def test_what_is_wrong_with_a_card_is_said_in_sentences() -> None:
    troubled = (
        GpuSnapshot(
            index=0, uuid="", name="A", memory_total_bytes=GIB, stale_since=10.0, fault="GPU is lost"
        ),
        GpuSnapshot(index=4, uuid="", name="A", stale_since=10.0, fault="GPU is lost"),
        GpuSnapshot(index=1, uuid="", name="B", throttle_reasons=("power cap",), ecc_uncorrected=2),
        POOR,
    )
    said = "\n".join(lines(telemetry(*troubled), 80, now=22.0))
    assert "GPU 0: GPU is lost. Its figures are 12.0 s old." in said
    assert "GPU 4: GPU is lost.\n" in said
    assert "GPU 1 is slowed down: power cap." in said
    assert "GPU 1 has 2 memory errors that ECC could not correct." in said
    assert "GPU (1) is hidden from our models by CUDA_VISIBLE_DEVICES." in said
    assert "GPU (1): the driver does not tell its processes." in said


def test_slices_stand_below_their_card() -> None:
    found = MigInstance(index=2, uuid="MIG-0", name="Card MIG 1g.10gb", memory_total_bytes=10 * GIB)
    shown = lines(telemetry(GpuSnapshot(index=3, uuid="", name="Card", mig_instances=(found,))), 80)
    assert shown[2].split() == ["3:2", "MIG", "1g.10gb", "n/a/10.0"]


def test_without_cards_the_reason_and_the_machine_are_shown() -> None:
    none = Telemetry(taken_at=0.0, host=HOST, notice="No GPU telemetry: no driver.")
    assert lines(none, 80) == ["No GPU telemetry: no driver.", "RAM 4.0/24.0 GiB   CPU 7%"]


def test_a_name_cannot_steer_the_terminal(command_line: CommandLine) -> None:
    evil = GpuProcess(pid=1, name="\x1b[2Jx", user="\x9b1m", instance=None)
    card = GpuSnapshot(index=0, uuid="", name="evil\x1b]0;x\x07", fault="\x1b[m", stale_since=0.0)
    command_line.world = World(gpus=(card, GpuSnapshot(index=1, uuid="", name="B", processes=(evil,))))
    shown = command_line.run("gpus").out
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


@pytest.mark.parametrize("arguments", [("--interval", "1"), ("--watch", "--interval", "0"), ("--watch", "x")])
def test_options_that_make_no_sense_are_wrong_usage(
    command_line: CommandLine, arguments: tuple[str, ...]
) -> None:
    assert command_line.run("gpus", *arguments).status == 2


class Running:
    """The program as a user starts it, over a driver of the test's."""

    def __init__(self, home: Path) -> None:
        self.stub = Stub(home)
        self.command = [sys.executable, "-m", "kobold_tui", "gpus"]
        self.environment = {
            **os.environ,
            **self.stub.environment(),
            "PYTHONPATH": str(ROOT),
            "KOBOLD_TUI_HOME": str(home / "home"),
            "TERM": "xterm",
        }

    def piped(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_the_cards_of_the_driver_are_shown_once(running: Running) -> None:
    running.stub.tell("process 0 4000000 4096 33", f"fail * {GPU_IS_LOST} 1", cards=3)
    out, err = running.piped("--json").communicate(timeout=60)
    found = json.loads(out)
    assert [(gpu["index"], gpu["fault"]) for gpu in found["gpus"]] == [
        *((0, None), (1, None), (1, "GPU is lost"))
    ], err
    assert found["host"]["cpu_percent"] is not None
    assert found["gpus"][0]["processes"][0]["is_verified"] is False


def test_watching_gives_one_object_a_line_until_interrupted(running: Running) -> None:
    with running.piped("--watch", "--json", "--interval", "0.1") as process:
        assert process.stdout
        read = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr
        assert process.stderr.read() == ""
    assert [len(found["gpus"]) for found in read] == [2, 2, 2]


def test_a_reader_that_leaves_ends_watching_quietly(running: Running) -> None:
    with running.piped("--watch", "--json", "--interval", "0.1") as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 1
        assert process.stderr
        assert process.stderr.read() == ""


def test_watching_redraws_in_place_on_a_terminal(terminal: Terminal) -> None:
    terminal.until_shown(rb"\x1b\[\d+F", times=2)
    assert terminal.output.count(b"GPU  NAME") >= 2
    terminal.type(b"\x03")
    assert terminal.until_exit() == 130
    assert terminal.settings == terminal.settings_before
    assert b"Traceback" not in terminal.output


@pytest.fixture
def terminal(running: Running) -> Iterator[Terminal]:
    opened = Terminal([*running.command, "--watch", "--interval", "0.1"], running.environment)
    yield opened
    opened.close()
