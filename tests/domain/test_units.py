"""Sizes, durations and speeds read as people write them, and sizes survive the round trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.units import (
    GIB,
    MIB,
    format_bytes,
    format_count,
    format_gib,
    format_rate,
    format_seconds,
    format_tokens,
    parse_bytes,
)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (98_400_000, "93.8 MiB"),
        (GIB, "1.00 GiB"),
        (1023 * MIB, "1.00 GiB"),
        (24 * GIB, "24.0 GiB"),
        (-GIB, "-1.00 GiB"),
        (5000 * GIB, "4.88 TiB"),
    ],
)
def test_sizes(n_bytes: int, text: str) -> None:
    assert format_bytes(n_bytes) == text


@given(st.integers(0, 10**16))
def test_a_size_has_at_most_three_digits_before_its_unit(n_bytes: int) -> None:
    number, _ = format_bytes(n_bytes).split()
    assert len(number.replace(".", "")) <= 4
    assert float(number) < 1000 or n_bytes >= 999 * 1024**4


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999"), (134_515_008, "135M"), (30_532_122_624, "30.5B"), (2048, "2.0k")]
)
def test_counts(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(("count", "text"), [(842, "842"), (3100, "3.1k"), (131_072, "131k")])
def test_token_counts(count: int, text: str) -> None:
    assert format_tokens(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.085, "85 ms"), (3.2, "3.2 s"), (125, "2 min 05 s"), (4320, "1 h 12 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(3.416, "3.42 tok/s"), (42.71, "42.7 tok/s"), (128.4, "128 tok/s")]
)
def test_speeds(rate: float, text: str) -> None:
    assert format_rate(rate) == text


def test_gib_without_unit() -> None:
    assert format_gib(3 * GIB + GIB // 2) == "3.5"


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("8589934592", 8 * GIB),
        ("8G", 8 * GIB),
        ("8GiB", 8 * GIB),
        ("512 M", 512 * MIB),
        ("1.5g", 3 * GIB // 2),
    ],
)
def test_sizes_are_read(text: str, n_bytes: int) -> None:
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "G", "8 apples", "-1", "1e9", "8GG"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_bytes(text)


@given(st.integers(0, 2**60))
def test_bytes_survive_the_round_trip(n_bytes: int) -> None:
    assert parse_bytes(str(n_bytes)) == n_bytes
