"""Memory is that of the machine or of the container, whichever is the tighter limit."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from kobold_tui.hardware.host import HostProbe, group_limits

MIB = 1024**2


def group(root: Path, path: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content + "\n")


def own_groups(root: Path, text: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)


def test_a_container_is_limited_by_its_group(tmp_path: Path) -> None:
    own_groups(tmp_path, "0::/\n")
    statistics = f"anon 1\ninactive_file {8 * MIB}\nactive_file 5"
    group(tmp_path, "", memory__max=str(64 * MIB), memory__current=str(24 * MIB), memory__stat=statistics)
    host = HostProbe(tmp_path).snapshot()
    assert host.memory_total_bytes == 64 * MIB
    assert host.memory_available_bytes == (64 - 16) * MIB


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    own_groups(tmp_path, "0::/user/session\n")
    group(tmp_path, "user/session", memory__max="max", memory__current=str(1 * MIB))
    group(tmp_path, "user", memory__max=str(100 * MIB), memory__current=str(70 * MIB))
    group(tmp_path, "", memory__max=str(200 * MIB), memory__current=str(190 * MIB))
    host = HostProbe(tmp_path).snapshot()
    assert (host.memory_total_bytes, host.memory_available_bytes) == (100 * MIB, 10 * MIB)


def test_the_older_interface_is_read_as_well(tmp_path: Path) -> None:
    own_groups(tmp_path, "4:cpu,memory:/docker/abc\n1:name=systemd:/x\n")
    group(
        tmp_path,
        "memory/docker/abc",
        memory__limit_in_bytes=str(50 * MIB),
        memory__usage_in_bytes=str(20 * MIB),
        memory__stat=f"inactive_file 7\ntotal_inactive_file {5 * MIB}",
    )
    (limit,) = group_limits(tmp_path)
    assert (limit.limit_bytes, limit.available_bytes) == (50 * MIB, 35 * MIB)


@pytest.mark.parametrize("groups", [None, "", "nonsense\n", "0::/gone/away\n", "0::/../outside\n"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, groups: str | None) -> None:
    if groups is not None:
        own_groups(tmp_path, groups)
    assert HostProbe(tmp_path).snapshot().memory_total_bytes == psutil.virtual_memory().total


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    own_groups(tmp_path, "0::/\n")
    group(tmp_path, "", memory__max=str(10 * MIB), memory__current=str(12 * MIB))
    assert HostProbe(tmp_path).snapshot().memory_available_bytes == 0


def test_the_load_is_unknown_at_first(tmp_path: Path) -> None:
    probe = HostProbe(tmp_path)
    assert probe.snapshot().cpu_percent is None
    second = probe.snapshot().cpu_percent
    assert second is not None
    assert 0 <= second <= 100


def test_the_memory_of_workers_is_told_by_name_and_the_dead_are_left_out() -> None:
    sizes = HostProbe().worker_bytes({"me": os.getpid(), "dead": 2**22 + 5})
    assert list(sizes) == ["me"]
    assert sizes["me"] > MIB
