"""Sizes, durations and rates as text, and sizes from text; the only place that formats them.

Sizes are powers of 1024 with their IEC names, because that is what memory is sold and measured in.
"""

from __future__ import annotations

import re

from kobold_tui.domain.errors import UsageError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)
_FACTORS = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}


def format_bytes(n_bytes: int) -> str:
    """Return a size with three significant digits at most: `98.4 MiB`, `1.25 GiB`, `512 B`."""
    size = float(abs(n_bytes))
    sign = "-" if n_bytes < 0 else ""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1024
        units.pop(0)
    unit = units[0]
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{sign}{size:.{digits}f} {unit}"


def format_gib(n_bytes: int) -> str:
    """Return a size in GiB with one decimal and no unit, for columns whose head names the unit."""
    return f"{n_bytes / GIB:.1f}"


def format_count(count: int) -> str:
    """Return a count as people write it for models: `135M`, `30.5B`, `2.0k`."""
    value = float(count)
    suffixes = ["", "k", "M", "B", "T"]
    while value >= 999.5 and len(suffixes) > 1:
        value /= 1000
        suffixes.pop(0)
    suffix = suffixes[0]
    digits = 0 if not suffix or value >= 99.95 else 1
    return f"{value:.{digits}f}{suffix}"


def format_tokens(count: int) -> str:
    """Return a token count for meters: `842`, `3.1k`, `128k`; k is 1,000."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 99_950 else f"{count / 1000:.0f}k"


def format_seconds(seconds: float) -> str:
    """Return a duration: `85 ms`, `3.2 s`, `2 min 05 s`, `1 h 12 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def format_age(seconds: float) -> str:
    """Return how long ago something was, in one coarse step: `12 s`, `3 min`, `2 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h"


def format_rate(tokens_per_second: float) -> str:
    """Return a speed: `3.42 tok/s`, `42.7 tok/s`, `128 tok/s`."""
    digits = 2 if tokens_per_second < 9.995 else 1 if tokens_per_second < 99.95 else 0
    return f"{tokens_per_second:.{digits}f} tok/s"


def parse_bytes(text: str) -> int:
    """Read `8589934592`, `8G`, `8GiB`, `512 M` or `1.5g` as bytes; every unit is a power of 1024.

    Raises UsageError where the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(
            "Not a size", f"{text!r} is not a size.", "Write bytes or a unit: 8589934592, 8G, 512M."
        )
    factor = _FACTORS[match[2].lower()]
    return int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
