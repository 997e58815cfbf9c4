"""Fields as drivers give them, as values: text that is fit to be shown, numbers that are numbers, or None."""

from __future__ import annotations

_NOT_AVAILABLE = {2**32 - 1, 2**64 - 1}
"""What the driver writes into a field that it cannot fill."""


def shown_text(text: str) -> str:
    """Return `text` with U+FFFD for whatever could steer a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def text(value: object) -> str | None:
    """Return text, which some versions of the bindings give as bytes; None for none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return shown_text(value) if isinstance(value, str) and value else None


def number(value: object) -> int | None:
    """Return a count or an amount; None for what the driver marks as not available."""
    return value if isinstance(value, int) and value >= 0 and value not in _NOT_AVAILABLE else None


def percent(value: object) -> int | None:
    """Return a share from 0 to 100; other numbers are not one."""
    share = number(value)
    return share if share is not None and share <= 100 else None


def thousandth(value: object) -> float | None:
    """Return milliwatts as watts."""
    whole = number(value)
    return None if whole is None else whole / 1000
