"""`CUDA_VISIBLE_DEVICES` means here what it means to CUDA, so that numbers are those of llama.cpp."""

from __future__ import annotations

import pytest

from kobold_tui.hardware.visible_devices import Identity, Shown, shown_devices

CARDS = (
    Identity(uuid="GPU-aaaa1111-0000", slices=("MIG-5555-1", "MIG-5555-2")),
    Identity(uuid="GPU-bbbb2222-0000"),
    Identity(uuid="GPU-bbbb3333-0000"),
)


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 1 , 0 ", [1, 0]),
        ("1,-1,0", [1]),
        ("0,7,1", [0]),
        ("0,0", []),
        ("GPU-bbbb3333-0000,GPU-aaaa", [2, 0]),
        ("GPU-bbbb", []),
        ("GPU-", []),
        ("GPU-cccc,0", []),
        ("1,GPU-bbbb2222", []),
        ("MIG-GPU-bbbb2222-0000/1/0", [1]),
    ],
)
def test_cards_are_shown_by_number_or_by_the_beginning_of_their_uuid(
    wanted: str | None, positions: list[int]
) -> None:
    assert [shown.position for shown in shown_devices(wanted, CARDS)] == positions


def test_a_slice_is_a_device_of_its_own() -> None:
    assert shown_devices("MIG-5555-2,1", CARDS) == (
        Shown(position=0, slice_uuid="MIG-5555-2"),
        Shown(position=1),
    )
    assert shown_devices("MIG-5555", CARDS) == ()
