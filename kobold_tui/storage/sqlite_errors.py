"""SQLite's errors in words, with what to do about each; nothing of SQLite's own leaves the store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import KoboldError

_PRIMARY = 0xFF
_REASONS: dict[int, tuple[str, str]] = {
    3: ("may not be read", "Make the file readable and writable for yourself."),
    5: ("is locked by another program", "Close the other program, then try again."),
    6: ("is locked by another program", "Close the other program, then try again."),
    8: ("may only be read", "Make the file and its folder writable."),
    10: ("cannot be read or written, perhaps because the disk is full", "Free some space, check the disk."),
    11: (
        "is damaged",
        "Move it away to start afresh; `sqlite3 FILE .recover` can save what is left of it.",
    ),
    13: ("cannot grow, because the disk is full", "Free some space; what was stored is safe."),
    14: ("cannot be opened", "Check the folder and your permission to write there."),
    26: ("is no database", "Move it away; the program then makes a new one."),
}
"""By SQLite's primary result code (sqlite.org/rescode.html)."""


@contextlib.contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turn every error of SQLite or of the file system inside into a KoboldError about `path`."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        reason, hint = _REASONS.get(code, (f"could not be used: {error}", "Try again; see the log."))
        raise KoboldError("Conversations are not available", f"{path} {reason}.", hint) from error
    except msgspec.MsgspecError as error:
        raise KoboldError(
            "Conversations are not available",
            f"{path} holds a row that makes no sense: {error}.",
            _REASONS[11][1],
        ) from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise KoboldError(
            "Conversations are not available",
            f"{path}: {reason}.",
            "Check the folder and your permission to write there.",
        ) from error
