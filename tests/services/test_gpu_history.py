"""The history of the gauge is bounded in time, in points and in cards."""

from __future__ import annotations

from kobold_tui.domain.gpu import GpuSnapshot, HostSnapshot
from kobold_tui.services.gpu_history import KEPT_SECONDS, MOST_CARDS, MOST_POINTS, GpuHistory


def card(number: int) -> GpuSnapshot:
    return GpuSnapshot(index=number, uuid=f"GPU-{number}", name="Card")


def test_points_older_than_ten_minutes_go_with_cards_that_are_gone() -> None:
    history = GpuHistory()
    history.note_gpus(0.0, [card(0), card(1)])
    history.note_gpus(KEPT_SECONDS, [card(0)])
    assert len(history.of_gpu("GPU-1")) == 1
    history.note_gpus(KEPT_SECONDS + 1, [card(0)])
    assert history.of_gpu("GPU-1") == ()
    assert [point.taken_at for point in history.of_gpu("GPU-0")] == [KEPT_SECONDS, KEPT_SECONDS + 1]


def test_the_machine_has_a_history_of_ten_minutes_too() -> None:
    history = GpuHistory()
    for moment in (0.0, 1.0, KEPT_SECONDS + 0.5):
        history.note_host(moment, HostSnapshot(memory_total_bytes=10, memory_available_bytes=4))
    assert [point.taken_at for point in history.of_host()] == [1.0, KEPT_SECONDS + 0.5]


def test_neither_fast_sampling_nor_many_cards_fill_the_memory() -> None:
    history = GpuHistory()
    for number in range(MOST_CARDS + 1):
        history.note_gpus(0.0, [card(number)])
    assert (history.of_gpu("GPU-0"), len(history.of_gpu("GPU-1"))) == ((), 1)
    for _ in range(MOST_POINTS + 1):
        history.note_gpus(0.0, [card(7)])
    assert len(history.of_gpu("GPU-7")) == MOST_POINTS
