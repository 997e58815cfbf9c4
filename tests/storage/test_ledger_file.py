"""Copies of the program that load at the same time do not promise the same memory twice."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.domain.ledger import HOST, Reservation, fits, promised, unpromised
from kobold_tui.storage.ledger_file import LedgerFile

CARD = "GPU-0"
FREE = {CARD: 100, HOST: 1000}

Copy = Callable[[int], LedgerFile]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Return copies of the program by number; all of them run."""
    return lambda number: LedgerFile(
        tmp_path / "ledger", owner=f"boot/{number}/1", alive=lambda _: True, lock_seconds=0.0
    )


def test_what_one_copy_has_reserved_the_other_cannot_have(copy: Copy) -> None:
    one, two = copy(1), copy(2)
    assert one.claim("chat", {CARD: 70}, FREE)
    assert not two.claim("chat", {CARD: 31}, FREE)
    assert two.claim("embedder", {CARD: 30}, FREE)
    assert promised(one.reservations()) == promised(two.reservations()) == {CARD: 100}


def test_what_is_given_back_can_be_had(copy: Copy) -> None:
    one, two = copy(1), copy(2)
    one.claim("chat", {CARD: 70}, FREE)
    one.drop("chat")
    assert two.claim("chat", {CARD: 100}, FREE)
    two.close()
    assert one.reservations() == ()


def test_a_second_claim_of_an_instance_takes_the_place_of_its_first(copy: Copy) -> None:
    one = copy(1)
    assert one.claim("chat", {CARD: 70}, FREE)
    assert one.claim("chat", {CARD: 90}, FREE)
    assert not one.claim("chat", {CARD: 101}, FREE)
    assert promised(one.reservations()) == {CARD: 90}


def test_who_loads_anyway_is_seen_by_others(copy: Copy) -> None:
    one, two = copy(1), copy(2)
    one.force("chat", {CARD: 500})
    assert not two.claim("chat", {CARD: 1}, FREE)
    assert two.claim("chat", {HOST: 1000}, FREE)


def test_a_device_that_nobody_knows_is_no_hindrance(copy: Copy) -> None:
    assert copy(1).claim("chat", {"GPU-9": 10**12}, FREE)


def test_reservations_end_with_their_process(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from kobold_tui.storage.ledger_file import LedgerFile;"
        f"LedgerFile(Path(sys.argv[1])).claim('chat', {{{CARD!r}: 70}}, {FREE!r});"
        "print('claimed', flush=True);"
        "sys.stdin.read()"
    )
    ours = LedgerFile(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"claimed\n"
        assert not ours.claim("chat", {CARD: 31}, FREE)
        other.kill()
        other.wait()
    assert ours.claim("chat", {CARD: 100}, FREE)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'[{"owner": 1}]', b"[" * 100_000, b"\xff", b" " * 300_000]
)
def test_a_broken_file_counts_as_none(tmp_path: Path, copy: Copy, content: bytes) -> None:
    one = copy(1)
    one.claim("chat", {CARD: 10}, FREE)
    (tmp_path / "ledger" / f"{os.getuid()}-77.json").write_bytes(content)
    assert promised(one.reservations()) == {CARD: 10}


def test_a_file_counts_only_under_the_number_of_its_owner(tmp_path: Path, copy: Copy) -> None:
    one, two = copy(1), copy(2)
    one.claim("chat", {CARD: 70}, FREE)
    folder = tmp_path / "ledger"
    (own,) = folder.glob("*.json")
    own.rename(folder / f"{os.getuid() + 1}-5.json")
    assert two.reservations() == ()
    (folder / f"{os.getuid()}-6.json").symlink_to(folder / f"{os.getuid() + 1}-5.json")
    os.mkfifo(folder / f"{os.getuid()}-7.json")
    assert two.reservations() == ()


def test_a_lock_that_is_never_given_back_holds_nobody_up(tmp_path: Path, copy: Copy) -> None:
    one = copy(1)
    assert one.claim("chat", {CARD: 10}, FREE)
    holder = os.open(tmp_path / "ledger" / "lock", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        assert copy(2).claim("chat", {CARD: 10}, FREE)
    finally:
        os.close(holder)


def test_a_folder_that_cannot_be_made_leaves_our_own_reservations(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = LedgerFile(tmp_path / "file" / "ledger")
    assert ledger.claim("chat", {CARD: 70}, FREE)
    assert not ledger.claim("embedder", {CARD: 31}, FREE)
    ledger.close()


def test_others_may_read_and_only_the_owner_may_write(tmp_path: Path, copy: Copy) -> None:
    previous = os.umask(0o077)
    try:
        copy(1).claim("chat", {CARD: 1}, FREE)
    finally:
        os.umask(previous)
    modes = {
        path.name.rpartition(".")[2]: path.stat().st_mode & 0o7777 for path in (tmp_path / "ledger").iterdir()
    }
    assert modes == {"json": 0o644, "lock": 0o644}
    assert (tmp_path / "ledger").stat().st_mode & 0o7777 == 0o1777


SIZES = st.dictionaries(st.sampled_from(["a", "b", HOST]), st.integers(-5, 100))


@given(SIZES, SIZES, st.lists(SIZES, max_size=4))
def test_what_fits_leaves_nothing_promised_twice(
    needs: dict[str, int], free: dict[str, int], held: list[dict[str, int]]
) -> None:
    others = [Reservation(owner="x", instance=str(n), bytes_by_device=by) for n, by in enumerate(held)]
    left = unpromised(free, others)
    assert all(size >= 0 for size in left.values())
    expected = all(needs[device] <= left[device] for device in needs if device in left)
    assert fits(needs, free, others) == expected
