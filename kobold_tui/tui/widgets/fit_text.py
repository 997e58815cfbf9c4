"""Text in a fixed number of terminal columns; what does not fit is cut with a mark, never silently."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len, set_cell_size

MARK = "…"

_UNSAFE = dict.fromkeys((*range(32), 127, *range(128, 160)), "�")
_UNSAFE.update(
    {
        0x200E: "",
        0x200F: "",
        **dict.fromkeys(range(0x202A, 0x202F), ""),
        **dict.fromkeys(range(0x2066, 0x206A), ""),
    }
)


def safe(text: str) -> str:
    """Return text without control characters and direction marks, which would break columns or do harm."""
    return text.translate(_UNSAFE)


def fit(text: str, width: int) -> str:
    """Return text padded or cut to exactly `width` columns."""
    text = safe(text)
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(0, width - 1)) + MARK[: max(0, min(1, width))]


def fit_right(text: str, width: int) -> str:
    """Return text at the right end of exactly `width` columns."""
    text = safe(text)
    return " " * max(0, width - cell_len(text)) + text if cell_len(text) <= width else fit(text, width)


def fit_path(path: str, width: int) -> str:
    """Return a path cut in its middle, because both ends tell most."""
    path = safe(path)
    if cell_len(path) <= width or width < 8:
        return fit(path, width)
    head = (width - 1) // 3
    return fit(path[:head] + MARK + path[-(width - 1 - head) :], width)


def below_home(path: str) -> str:
    """Return a path with `~` for the home directory."""
    home = str(Path.home())
    return f"~{path.removeprefix(home)}" if path.startswith(f"{home}/") else path
