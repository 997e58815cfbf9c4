"""The machine in two readings: the host, which never waits for a driver, and all cards with their owners."""

from __future__ import annotations

import os
from pathlib import Path

from nvml_stub import GPU_IS_LOST, Stub
from process_tree import ProcessTree

from kobold_tui.hardware.probe import MachineProbe, no_cards_notice


def test_our_own_processes_on_a_card_are_marked(stub: Stub, tmp_path: Path) -> None:
    ProcessTree(tmp_path, in_container=False).add(77)
    stub.tell("process 0 77 4096 33", "process 1 77 1024 33", "process 1 78 1024 33")
    probe = MachineProbe(lambda: {"llama": 77}, {}, tmp_path)
    reading = probe.read_gpus()
    probe.close()
    owners = [[(found.pid, found.instance) for found in gpu.processes] for gpu in reading.gpus]
    assert owners == [[(77, "llama")], [(77, "llama"), (78, None)]]
    assert (reading.driver, reading.cuda_version, reading.notice) == ("580.95.05", "13.0", None)


def test_the_host_is_read_without_the_cards(tmp_path: Path) -> None:
    telemetry = MachineProbe(lambda: {"llama": os.getpid()}, {}, tmp_path).read_host()
    assert telemetry.host.memory_total_bytes > 0
    assert list(telemetry.workers) == ["llama"]
    assert telemetry.gpus == ()


def test_a_machine_without_cards_says_why(stub: Stub, tmp_path: Path) -> None:
    stub.tell(f"fail nvmlInitWithFlags {GPU_IS_LOST}")
    assert (
        MachineProbe(dict, {}, tmp_path).read_gpus().notice == "The NVIDIA driver shows no card: GPU is lost."
    )
    assert no_cards_notice(None, "linux").startswith("No GPU telemetry")
    assert "Apple" in no_cards_notice(None, "darwin")
