"""Cards that get lost and drivers that go away: the last figures stay, marked, and everything comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from nvml_stub import DRIVER_NOT_LOADED, GPU_IS_LOST, NOT_SUPPORTED, TIMEOUT, UNINITIALIZED, UNKNOWN, Stub
from still_clock import StillClock

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.hardware.last_figures import NOT_LISTED
from kobold_tui.hardware.nvml import NvmlProbe

OpenProbe = Callable[..., NvmlProbe]
CALLS_OF_A_ROUND = 20


def stale(cards: tuple[GpuSnapshot, ...]) -> list[float | None]:
    return [card.stale_since for card in cards]


@pytest.mark.parametrize("calls", range(CALLS_OF_A_ROUND))
def test_a_card_lost_at_any_call_of_a_round_keeps_its_last_whole_figures(
    stub: Stub, open_probe: OpenProbe, clock: StillClock, calls: int
) -> None:
    stub.tell("still")
    probe = open_probe()
    before = probe.snapshot()
    stub.tell("still", f"lost 1 {calls}")
    for clock.now in (1001.0, 1002.0, 1003.0):
        first, second = probe.snapshot()
    assert (first.stale_since, first.fault) == (None, None)
    assert second.fault == "GPU is lost"
    assert second.stale_since in {1000.0, 1001.0, 1002.0}
    assert msgspec.structs.replace(second, stale_since=None, fault=None) == before[1]


def test_a_card_that_is_lost_for_long_is_looked_for_and_comes_back(
    stub: Stub, open_probe: OpenProbe, clock: StillClock
) -> None:
    probe = open_probe()
    probe.snapshot()
    stub.tell(f"fail * {GPU_IS_LOST} 1")
    for clock.now in range(1005, 1700, 5):
        cards = probe.snapshot()
        assert [(card.name[:10], card.stale_since) for card in cards] == [
            ("NVIDIA A10", None),
            ("NVIDIA GeF", 1000.0),
        ]
    stub.tell()
    for clock.now in range(1700, 1715, 5):
        cards = probe.snapshot()
    assert stale(cards) == [None, None]


def test_a_lost_card_that_still_tells_its_name_is_never_forgotten(
    stub: Stub, open_probe: OpenProbe, clock: StillClock
) -> None:
    probe = open_probe()
    probe.snapshot()
    figures = ("MemoryInfo_v2", "MemoryInfo", "PowerUsage", "PerformanceState", "ClockInfo", "Temperature")
    stub.tell(*(f"fail nvmlDeviceGet{name} {GPU_IS_LOST} 1" for name in figures))
    for clock.now in range(1005, 1700, 5):
        assert stale(probe.snapshot()) == [None, 1000.0]


def test_a_card_that_was_lost_from_the_start_is_listed_and_comes_back(
    stub: Stub, open_probe: OpenProbe, clock: StillClock
) -> None:
    stub.tell(f"fail * {GPU_IS_LOST} 1")
    probe = open_probe()
    first, second = probe.snapshot()
    assert first.stale_since is None
    assert (second.name, second.fault, second.memory_total_bytes) == ("NVIDIA GPU", "GPU is lost", None)
    assert (second.is_visible, second.stale_since) == (False, 1000.0)
    clock.now = 1015.0
    assert probe.snapshot()[1].stale_since == 1000.0
    stub.tell()
    for clock.now in (1026.0, 1037.0):
        cards = probe.snapshot()
    assert [(card.index, card.stale_since) for card in cards] == [(0, None), (1, None)]


@pytest.mark.parametrize("code", [TIMEOUT, UNKNOWN, GPU_IS_LOST, UNINITIALIZED, DRIVER_NOT_LOADED])
def test_a_driver_that_fails_at_everything_leaves_stale_figures_and_recovers(
    stub: Stub, open_probe: OpenProbe, clock: StillClock, code: int
) -> None:
    probe = open_probe()
    before = probe.snapshot()
    stub.tell(f"fail * {code}")
    for clock.now in (1001.0, 1012.0, 1023.0):
        cards = probe.snapshot()
        assert stale(cards) == [1000.0, 1000.0]
        assert all(card.fault for card in cards)
        assert [card.memory_used_bytes for card in cards] == [card.memory_used_bytes for card in before]
    stub.tell()
    for clock.now in (1034.0, 1045.0):
        cards = probe.snapshot()
    assert (stale(cards), [card.fault for card in cards]) == ([None, None], [None, None])


def test_a_driver_that_is_reloaded_is_opened_anew(
    stub: Stub, open_probe: OpenProbe, clock: StillClock
) -> None:
    probe = open_probe()
    probe.snapshot()
    stub.tell("reload 1")
    clock.now = 1005.0
    assert stale(probe.snapshot()) == [1000.0, 1000.0]
    clock.now = 1010.0
    assert stale(probe.snapshot()) == [None, None]


def test_the_driver_is_looked_for_again_after_ten_seconds_and_not_sooner(
    stub: Stub, open_probe: OpenProbe, clock: StillClock
) -> None:
    stub.tell("trace", f"fail nvmlInitWithFlags {DRIVER_NOT_LOADED}")
    probe = open_probe()
    for clock.now in (1000.0, 1003.0, 1009.0):
        assert probe.snapshot() == ()
        assert probe.fault == "Driver Not Loaded"
    assert stub.calls == ["nvmlInitWithFlags"]
    stub.tell()
    clock.now = 1010.0
    assert len(probe.snapshot()) == 2
    assert probe.fault is None


def test_cards_are_forgotten_when_the_driver_has_been_away_for_ten_minutes(
    stub: Stub, open_probe: OpenProbe, clock: StillClock
) -> None:
    probe = open_probe()
    probe.snapshot()
    stub.tell(f"fail * {DRIVER_NOT_LOADED}")
    clock.now = 1599.0
    assert len(probe.snapshot()) == 2
    clock.now = 1601.0
    assert probe.snapshot() == ()
    assert probe.fault


@pytest.mark.parametrize("code", [NOT_SUPPORTED, TIMEOUT])
def test_a_driver_that_does_not_count_its_cards_says_so(stub: Stub, open_probe: OpenProbe, code: int) -> None:
    stub.tell(f"fail nvmlDeviceGetCount_v2 {code}")
    probe = open_probe()
    assert (probe.snapshot(), probe.gpu_present()) == ((), False)
    assert probe.fault


def test_a_card_that_is_plugged_in_appears_and_one_that_is_pulled_out_stays_as_stale(
    stub: Stub, open_probe: OpenProbe, clock: StillClock
) -> None:
    stub.tell(cards=1)
    probe = open_probe()
    assert len(probe.snapshot()) == 1
    clock.now = 1020.0
    stub.tell(cards=2)
    assert stale(probe.snapshot()) == [None, None]
    clock.now = 1040.0
    stub.tell(cards=1)
    assert [(card.stale_since, card.fault, card.is_visible) for card in probe.snapshot()] == [
        (None, None, True),
        (1020.0, NOT_LISTED, False),
    ]
    clock.now = 1700.0
    assert len(probe.snapshot()) == 1


def test_a_card_that_only_the_kernel_has_noticed_makes_the_driver_be_opened_anew(
    stub: Stub, open_probe: OpenProbe, clock: StillClock, tmp_path: Path
) -> None:
    stub.tell("trace")
    probe = open_probe()
    probe.snapshot()
    (tmp_path / "proc/driver/nvidia/gpus/0000:99:00.0").mkdir(parents=True)
    clock.now = 1010.0
    probe.snapshot()
    assert stub.calls.count("nvmlInitWithFlags") == 2


FUNCTIONS = (
    *("nvmlInitWithFlags", "nvmlShutdown", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"),
    *("nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion_v2", "nvmlDeviceGetName"),
    *("nvmlDeviceGetUUID", "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetMemoryInfo_v2"),
    *("nvmlDeviceGetProcessUtilization", "nvmlDeviceGetMaxMigDeviceCount", "*"),
)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("card", ["", " 0"])
def test_no_failure_in_mid_life_ends_the_readings_and_all_heal(
    stub: Stub, open_probe: OpenProbe, clock: StillClock, function: str, card: str
) -> None:
    probe = open_probe()
    probe.snapshot()
    for code in (UNINITIALIZED, NOT_SUPPORTED, DRIVER_NOT_LOADED, TIMEOUT, GPU_IS_LOST, UNKNOWN):
        stub.tell("mig 0 2", "process 0 77 4096 33", f"fail {function} {code}{card}")
        for _ in range(3):
            clock.now += 11.0
            assert len(probe.snapshot()) == 2
        stub.tell()
        for _ in range(2):
            clock.now += 11.0
            healed = probe.snapshot()
        assert [(card.index, card.stale_since, bool(card.uuid)) for card in healed] == [
            (0, None, True),
            (1, None, True),
        ], code
