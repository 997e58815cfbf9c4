"""A process on a card is named with evidence alone: in a container the driver's numbers can be the host's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from process_tree import ProcessTree
from still_clock import StillClock

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, MigInstance
from kobold_tui.hardware.process_files import ProcessFiles, program_name
from kobold_tui.hardware.process_owners import ProcessOwners

Known = tuple[str | None, str | None, bool]
UNKNOWN: Known = (None, None, False)


class Machine:
    """Owners over a made-up /proc; `look` shows who the driver's numbers are."""

    def __init__(self, root: Path, clock: StillClock, *, in_container: bool) -> None:
        self.processes = ProcessTree(root, in_container=in_container)
        self.clock = clock
        self._owners = ProcessOwners(ProcessFiles(root), clock)

    def look(self, *numbers: int, **workers: int) -> list[Known]:
        """Return name, instance and whether it is verified, of every number."""
        self.clock.now += 1.0
        listed = tuple(GpuProcess(pid=number, memory_bytes=5) for number in numbers)
        card = GpuSnapshot(index=0, uuid="GPU-0", name="Card", processes=listed)
        (joined,) = self._owners.join([card], workers)
        return [(process.name, process.instance, process.is_verified) for process in joined.processes]


@pytest.fixture
def host(tmp_path: Path, clock: StillClock) -> Machine:
    return Machine(tmp_path, clock, in_container=False)


@pytest.fixture
def container(tmp_path: Path, clock: StillClock) -> Machine:
    return Machine(tmp_path, clock, in_container=True)


def test_outside_of_containers_every_number_is_a_process(host: Machine) -> None:
    host.processes.add(10)
    host.processes.add(11, "python3 -m kobold_tui.engine.worker", has_card=False)
    assert host.look(10, 11, 12, llama=11) == [
        ("train", None, True),
        ("kobold_tui.engine.worker", "llama", True),
        UNKNOWN,
    ]


def test_the_owner_of_a_process_is_named(tmp_path: Path) -> None:
    ProcessTree(tmp_path, in_container=False).add(10)
    facts = ProcessFiles(tmp_path).facts(10)
    assert facts is not None
    assert facts.user == pwd.getpwuid(os.getuid()).pw_name


def test_in_a_container_numbers_that_all_exist_and_use_a_card_are_ours(container: Machine) -> None:
    container.processes.add(10)
    container.processes.add(11)
    assert container.look(10, 11, llama=11) == [("train", None, True), ("train", "llama", True)]


def test_a_process_without_an_open_card_is_not_the_one_that_the_driver_means(container: Machine) -> None:
    container.processes.add(10, has_card=False)
    assert container.look(10) == [UNKNOWN]


def test_one_number_that_does_not_exist_shows_that_the_numbers_are_the_hosts(container: Machine) -> None:
    container.processes.add(10)
    assert container.look(10, 40_000, llama=10) == [UNKNOWN, UNKNOWN]


def test_what_was_verified_stays_so_until_the_process_ends(container: Machine) -> None:
    container.processes.add(10)
    container.look(10)
    assert container.look(10, 40_000) == [("train", None, True), UNKNOWN]
    container.processes.end(10)
    container.processes.add(10, started=99)
    assert container.look(10, 40_000) == [UNKNOWN, UNKNOWN]


def test_another_number_of_a_worker_that_proc_tells_names_its_instance(container: Machine) -> None:
    container.processes.add(10, numbers="40000 10")
    assert container.look(40_000, 40_001, llama=10) == [(None, "llama", False), UNKNOWN]


def test_a_number_that_appears_in_step_with_a_worker_is_its_instance(container: Machine) -> None:
    container.processes.add(10, has_card=False)
    assert container.look(40_000, llama=10) == [UNKNOWN]
    container.processes.open_card(10)
    assert container.look(40_000, llama=10) == [UNKNOWN]
    for _ in range(20):
        assert container.look(40_000, 40_007, llama=10) == [UNKNOWN, (None, "llama", False)]
    assert container.look(40_000, 40_007) == [UNKNOWN, UNKNOWN]


def test_two_numbers_at_the_same_time_are_nobodys(container: Machine) -> None:
    container.processes.add(10)
    container.look(llama=10)
    assert container.look(40_001, 40_002, llama=10) == [UNKNOWN, UNKNOWN]
    assert container.look(40_001, llama=10) == [UNKNOWN]


def test_a_second_number_soon_after_takes_the_name_away(container: Machine) -> None:
    container.processes.add(10)
    container.look(llama=10)
    assert container.look(40_001, llama=10) == [(None, "llama", False)]
    assert container.look(40_001, 40_002, llama=10) == [UNKNOWN, UNKNOWN]


def test_two_workers_at_the_same_time_are_not_told_apart(container: Machine) -> None:
    container.processes.add(10)
    container.processes.add(11)
    container.look(llama=10, qwen=11)
    assert container.look(40_001, llama=10, qwen=11) == [UNKNOWN]
    assert container.look(40_001, llama=10) == [UNKNOWN]


def test_a_number_that_comes_long_after_a_worker_is_somebody_elses(container: Machine) -> None:
    container.processes.add(10)
    for _ in range(15):
        container.look(llama=10)
    assert container.look(40_001, llama=10) == [UNKNOWN]


def test_what_was_there_at_the_first_look_is_nobodys(container: Machine) -> None:
    container.processes.add(10)
    assert container.look(40_001, llama=10) == [UNKNOWN]
    assert container.look(40_001, llama=10) == [UNKNOWN]


def test_processes_of_a_slice_are_named_as_well(tmp_path: Path) -> None:
    ProcessTree(tmp_path, in_container=False).add(10)
    found = MigInstance(index=0, uuid="MIG-0", processes=(GpuProcess(pid=10),))
    card = GpuSnapshot(index=0, uuid="GPU-0", name="Card", mig_instances=(found,))
    (joined,) = ProcessOwners(ProcessFiles(tmp_path)).join([card], {"llama": 10})
    assert [process.instance for process in joined.mig_instances[0].processes] == ["llama"]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/python3\0-P\0-m\0kobold_tui.engine.worker\0--secret\0x\0", "kobold_tui.engine.worker"),
        ("/opt/a b/llama-server\0-m\0/home/me/private.gguf\0", "llama-server"),
        ("llama-server -m private\0", "llama-server"),
        ("python\0train.py\0-m\0secret\0", "python"),
        ("", ""),
    ],
)
def test_of_a_command_line_only_the_program_is_shown(command: str, name: str) -> None:
    assert program_name(command.encode()) == name
