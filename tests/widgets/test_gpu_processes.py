"""The table of processes: ours first, sorted as wanted, and nobody else's process can be ended from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fake_world import GIB
from gauge_world import card, sliced_card, telemetry
from textual.app import App
from textual.widget import Widget

from kobold_tui.domain.gpu import GpuProcess
from kobold_tui.domain.instance import Instance, InstanceId, LoadSpec, Stopped
from kobold_tui.tui.widgets.process_rows import (
    ProcessRow,
    SortKey,
    column_at,
    end_refusal,
    process_rows,
    sorted_rows,
)
from kobold_tui.tui.widgets.process_table import ProcessTable

READING = telemetry([card(0), card(1)])


def instance(name: str, pid: int | None) -> Instance:
    return Instance(id=InstanceId(name), spec=LoadSpec(path=f"/m/{name}.gguf"), state=Stopped(), pid=pid)


def names(by: SortKey, *, reverse: bool = False) -> list[str]:
    rows = sorted_rows(process_rows(READING, [instance("lantern-30b", 2400)]), by, reverse=reverse)
    return [f"{row.place} {row.name}" for row in rows]


def test_ours_come_first_card_by_card_and_our_ram_is_among_them() -> None:
    assert names("ours") == [
        *("0 lantern-30b", "0 embedder", "1 lantern-30b", "1 embedder", "RAM lantern-30b"),
        *("0 train.py", "0 unknown process", "1 train.py", "1 unknown process"),
    ]


def test_every_column_sorts_and_what_is_not_known_stays_last() -> None:
    assert names("memory")[0] == "0 lantern-30b"
    assert names("memory", reverse=True)[:2] == ["0 unknown process", "1 unknown process"]
    assert names("user")[0].endswith("train.py")
    assert names("user", reverse=True)[0].endswith("lantern-30b")
    assert names("user", reverse=True)[-1].endswith("unknown process")
    assert names("load")[:2] == ["0 lantern-30b", "1 lantern-30b"]
    assert names("process")[0].endswith("embedder")
    assert names("pid")[0] == "0 unknown process"


def test_a_slice_is_named_with_its_card() -> None:
    assert [row.place for row in process_rows(telemetry([sliced_card()], workers={}))] == ["0:0"]


@pytest.mark.parametrize(
    ("process", "pid", "why"),
    [
        (GpuProcess(pid=9, name="train.py", is_verified=True), 9, "not one of our models"),
        (GpuProcess(pid=9, instance="lamp", is_verified=False), 9, "not certain"),
        (GpuProcess(pid=9, instance="lamp", is_verified=True), 8, "another copy"),
        (GpuProcess(pid=9, instance="other", is_verified=True), 9, "another copy"),
        (GpuProcess(pid=9, instance="lamp", is_verified=True), 9, None),
    ],
)
def test_only_a_worker_that_is_surely_ours_can_be_ended(
    process: GpuProcess, pid: int, why: str | None
) -> None:
    refusal = end_refusal(ProcessRow("0", 0, process), [instance("lamp", pid)])
    assert (refusal is None) if why is None else (refusal is not None and why in refusal)


def test_the_column_under_the_pointer_is_found() -> None:
    assert [column_at(x) for x in (0, 8, 20, 30, 40, 60)] == [
        *("gpu", "pid", "user", "memory", "load", "process")
    ]


async def test_the_cursor_stays_on_its_process_when_the_order_changes(
    host: Callable[[Widget], App[None]],
) -> None:
    table = ProcessTable()
    async with host(table).run_test(size=(80, 14)) as pilot:
        table.show(process_rows(READING), "none")
        table.focus()
        await pilot.press("down", "down")
        chosen = table.current
        assert chosen is not None
        assert (chosen.place, chosen.name) == ("1", "lantern-30b")
        await pilot.press("s")
        assert table.current == chosen
        assert "MEMORY▾" in table.text
        await pilot.press("r")
        assert "MEMORY▴" in table.text
        grown = [row for row in process_rows(READING) if row.process.pid != 2400]
        table.show(grown, "none")
        assert table.current == chosen


async def test_a_click_on_a_column_sorts_and_on_a_row_moves_the_cursor(
    host: Callable[[Widget], App[None]],
) -> None:
    table = ProcessTable()
    async with host(table).run_test(size=(80, 14)) as pilot:
        table.show(process_rows(READING), "none")
        await pilot.pause()
        await pilot.click(offset=(12, 0))
        assert "PID▾" in table.text
        assert table.rows[0].process.pid == 77
        await pilot.click(offset=(12, 3))
        assert table.cursor == 2


async def test_figures_line_up_and_nothing_is_cut_without_a_mark(
    host: Callable[[Widget], App[None]],
) -> None:
    table = ProcessTable()
    long = GpuProcess(pid=1, memory_bytes=GIB, instance="a-model-with-a-name-that-goes-on", is_verified=True)
    async with host(table).run_test(size=(60, 8)):
        table.show([ProcessRow("0", 0, long)], "none")
        head, row = table.text.splitlines()
        assert row.rstrip().endswith("…")
        assert head.index("MEMORY") + len("MEMORY") == row.index("GiB") + len("GiB")
        table.show([], "No process holds memory of a card.")
        assert "No process holds memory of a card." in table.text
